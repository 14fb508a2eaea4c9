//go:build unix

package cp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// within waits until ok, for 20 s at most.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// site is a worker whose owner allows one directory, and a laptop.
type site struct {
	*streamtest.Pipe
	there   string // the directory
	here    string // one of the laptop
	service *Service
	denied  atomic.Pointer[error]
	closed  []string

	mu    sync.Mutex
	ended []Session // guarded by mu
}

func newSite(t testing.TB, closed ...string) *site {
	t.Helper()
	s := newBareSite(t)
	for _, c := range closed {
		s.closed = append(s.closed, filepath.Join(s.there, c))
	}
	s.service = New(Config{
		Place: func(path string) (string, string, error) {
			if err := s.denied.Load(); err != nil {
				return "", "", *err
			}
			if !filepath.IsAbs(path) {
				path = filepath.Join(s.there, path)
			}
			rel, err := filepath.Rel(s.there, path)
			if err != nil || !filepath.IsLocal(rel) {
				return "", "", errors.New("outside")
			}
			return s.there, rel, nil
		},
		Closed: s.closed,
		Ended: func(_ peer.ID, e Session) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, e)
		},
	})
	must(t, s.service.Register(s.Mux))
	return s
}

// newBareSite returns one whose worker knows nothing of copies.
func newBareSite(t testing.TB) *site {
	t.Helper()
	s := &site{there: filepath.Join(t.TempDir(), "there"), here: filepath.Join(t.TempDir(), "here")}
	must(t, os.Mkdir(s.there, 0o700), os.Mkdir(s.here, 0o700))
	s.Pipe = streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true },
		Limits:    streams.Limits{Effect: streams.Rate{PerSecond: 1e6, Burst: 1e6}},
	}, streams.Config{})
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// sessions waits for so many to have ended on the worker.
func (s *site) sessions(t testing.TB, n int) (out []Session) {
	t.Helper()
	within(t, "sessions end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		out = slices.Clone(s.ended)
		return len(out) >= n
	})
	return out
}

// result is what a copy came to.
type result struct {
	Total
	files map[string]File
	err   error
}

// copy copies, to the machine or from it.
func (s *site) copy(ctx context.Context, c Copying, to bool, from, dst string) (r result) {
	r.files = make(map[string]File)
	told := c.Copied
	c.Copied = func(f File) {
		r.files[f.Path] = f
		if told != nil {
			told(f)
		}
	}
	do := c.Get
	if to {
		do = c.Put
	}
	r.Total, r.err = do(ctx, s.Client, s.Server.ID(), from, dst)
	return r
}

// ends are the directories that a copy is from and to.
func (s *site) ends(to bool) (from, dst string) {
	if to {
		return s.here, s.there
	}
	return s.there, s.here
}

var random = sync.OnceValue(func() []byte { // a constant
	b := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// write makes a file, with the directories that it is in.
func write(t testing.TB, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600), os.Chmod(path, mode))
}

// describe is a tree in words: each path with its mode, and of a file its content.
func describe(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		text := fmt.Sprint(info.Mode(), " ", info.ModTime().UnixMilli())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d %x", len(b), b[:min(len(b), 40)])
		}
		out[rel] = text
		return nil
	}))
	return out
}

// difference says where two trees differ.
func difference(a, b map[string]string) (out []string) {
	for p := range maps.Keys(a) {
		if a[p] != b[p] {
			out = append(out, fmt.Sprintf("%s: %s, %s", p, a[p], b[p]))
		}
	}
	for p := range b {
		if a[p] == "" {
			out = append(out, p+": only in the other one, "+b[p])
		}
	}
	return out
}

// A tree with all kinds of things in it comes out as it is, in both directions, and a second time nothing is
// sent.
func TestTree(t *testing.T) {
	for _, to := range []bool{true, false} {
		t.Run(fmt.Sprint("to the machine ", to), func(t *testing.T) {
			s := newSite(t)
			from, dst := s.ends(to)
			big := random()[:3<<20]
			holes := make([]byte, 2<<20)
			copy(holes[1<<20:], "x")
			tree := filepath.Join(from, "tree")
			write(t, tree+"/empty", nil, 0o644)
			write(t, tree+"/one", []byte("1"), 0o600)
			write(t, tree+"/run.sh", []byte("#!/bin/sh\n"), 0o755)
			write(t, tree+"/read-only", []byte("x"), 0o444)
			write(t, tree+"/a/b/c/big", big, 0o640)
			write(t, tree+"/a/holes", holes, 0o644)
			write(t, tree+"/a/zero", make([]byte, 300_000), 0o644)
			write(t, tree+"/a/"+strings.Repeat("long", 63), []byte("long"), 0o644)
			write(t, tree+`/names/sp ace "quoted" back\slash ünï `, []byte("names"), 0o644)
			write(t, tree+"/names/setuid", []byte("x"), 0o755)
			must(t, os.Chmod(tree+"/names/setuid", 0o755|fs.ModeSetuid))
			for i := range 300 {
				write(t, fmt.Sprintf("%s/many/%d/f%d", tree, i%7, i), fmt.Appendf(nil, "file %d", i), 0o644)
			}
			must(t, os.Mkdir(tree+"/empty dir", 0o711), os.Chmod(tree+"/many/3", 0o750))
			old := time.UnixMilli(1_700_000_000_123)
			must(t, os.Chtimes(tree+"/one", old, old), os.Chtimes(tree+"/a/b", old, old))
			junk := []string{".x.swarm-part", "link", "a/out", "pipe"}
			write(t, tree+"/.x.swarm-part", []byte("x"), 0o600)
			must(t, os.Symlink("one", tree+"/link"), os.Symlink("/etc", tree+"/a/out"), syscall.Mkfifo(tree+"/pipe", 0o600))
			want := describe(t, tree)
			for _, p := range junk {
				delete(want, p)
			}
			for p, text := range want { // what only the source has, and what modes do not carry over
				want[p] = strings.Replace(text, "urwx", "-rwx", 1)
			}

			r := s.copy(t.Context(), Copying{}, to, tree, filepath.Join(dst, "copy"))
			must(t, r.err)
			if bad := difference(want, describe(t, filepath.Join(dst, "copy"))); len(bad) > 0 {
				t.Errorf("%d differences: %s", len(bad), strings.Join(bad[:min(len(bad), 5)], "\n"))
			}
			if r.Left != (Left{Links: 2, Special: 1, Unfinished: 1}) || r.Failed != 0 || r.Copied != 310 || r.Files != 310 || len(r.files) != 310 {
				t.Errorf("%+v", r.Total)
			}
			var st syscall.Stat_t
			must(t, syscall.Stat(filepath.Join(dst, "copy/a/zero"), &st))
			if st.Blocks*512 >= 300_000 {
				t.Errorf("zeros take %d bytes", st.Blocks*512)
			}
			again := s.copy(t.Context(), Copying{}, to, tree+"/.", filepath.Join(dst, "copy"))
			must(t, again.err)
			if again.Unchanged != 309 || again.Copied != 1 || again.Sent != 0 { // the empty one is made anew
				t.Errorf("again: %+v", again.Total)
			}
			if bad := difference(want, describe(t, filepath.Join(dst, "copy"))); len(bad) > 1 { // the time of what "copy" is
				t.Errorf("%d differences: %s", len(bad), strings.Join(bad[:min(len(bad), 5)], "\n"))
			}
			e := s.sessions(t, 2)
			if e[0].Err != nil || e[0].Files != 310 || e[0].Bytes < int64(len(big)) || e[0].To != to {
				t.Errorf("ended: %v", e[0])
			}
			if left, _ := filepath.Glob(filepath.Join(dst, ".*")); len(left) > 0 {
				t.Errorf("%s is left", left)
			}
		})
	}
}

// A copy goes where cp would put it.
func TestPlaces(t *testing.T) {
	for _, to := range []bool{true, false} {
		for _, tt := range []struct{ from, dst, want, fault string }{
			{"f", "new", "new", ""},
			{"f", "dir", "dir/f", ""},
			{"f", "dir/", "dir/f", ""},
			{"f", "dir/other", "dir/other", ""},
			{"f", "old", "old", ""},
			{"f", "no/", "", "there is no directory"},
			{"f", "no/f", "", "there is no directory"},
			{"f", "old/", "", "is no directory"},
			{"f", "linked", "dir/f", ""},
			{"f", "link", "", "is a symbolic link"},
			{"f", "full", "", "full/f is a directory"},
			{"no", "new", "", "no such file"},
			{"pipe", "new", "", "is a device"},
			{"alias", "new", "new", ""},
			{"d", "new", "new/x", ""},
			{"d", "new/", "new/x", ""},
			{"d", "dir", "dir/d/x", ""},
			{"d/", "dir/", "dir/d/x", ""},
			{"d/.", "dir", "dir/x", ""},
			{"d/.", "new", "new/x", ""},
			{"d", "no/new", "", "there is no directory"},
			{"d", "old", "", "is no directory"},
			{"f/", "new", "", ""},
		} {
			t.Run(fmt.Sprint(tt.from, " ", tt.dst, " ", to), func(t *testing.T) {
				s := newSite(t)
				from, dst := s.ends(to)
				write(t, from+"/f", []byte("f"), 0o644)
				write(t, from+"/d/x", []byte("x"), 0o644)
				write(t, dst+"/old", []byte("old"), 0o644)
				write(t, dst+"/full/f/x", []byte("x"), 0o644)
				must(t, os.Mkdir(dst+"/dir", 0o755), os.Symlink("dir", dst+"/linked"), os.Symlink("old", dst+"/link"), os.Symlink("f", from+"/alias"),
					syscall.Mkfifo(from+"/pipe", 0o600))
				r := s.copy(t.Context(), Copying{}, to, from+"/"+tt.from, dst+"/"+tt.dst)
				failed := r.err
				for _, f := range r.files {
					failed = errors.Join(failed, f.Err)
				}
				if tt.want == "" {
					if failed == nil || !strings.Contains(failed.Error(), tt.fault) {
						t.Errorf("got %v, want %s", failed, tt.fault)
					}
					if b, err := os.ReadFile(dst + "/old"); err != nil || string(b) != "old" {
						t.Errorf("old is %q, %v", b, err)
					}
					return
				}
				must(t, failed)
				if _, err := os.Lstat(dst + "/" + tt.want); err != nil {
					t.Errorf("%v: there is %v", err, slices.Sorted(maps.Keys(describe(t, dst))))
				}
			})
		}
	}
}

// A path that is not absolute begins at the directory that the owner has listed, and one outside of it is
// refused, as are links that lead out of it.
func TestOutside(t *testing.T) {
	s := newSite(t)
	outside := t.TempDir()
	write(t, outside+"/secret", []byte("secret"), 0o644)
	write(t, s.there+"/in/f", []byte("f"), 0o644)
	must(t, os.Symlink(outside, s.there+"/out"), os.Symlink("in", s.there+"/inside"), os.Symlink(s.there+"/in", s.there+"/whole"))
	for path, want := range map[string]string{
		"in/f": "", s.there + "/in/f": "", "inside/f": "", "whole/f": "", "in/../in/f": "",
		"../x": "outside", outside + "/secret": "outside", "out/secret": "leads out", "out": "leads out", "in/../../x": "outside", s.there + "x": "outside",
	} {
		r := s.copy(t.Context(), Copying{}, false, path, s.here+"/copy")
		if want == "" && r.err != nil || want != "" && (r.err == nil || !strings.Contains(r.err.Error(), want)) {
			t.Errorf("from %s: %v, want %q", path, r.err, want)
		}
		os.Remove(s.here + "/copy")
	}
	write(t, s.here+"/f", []byte("f"), 0o644)
	for path, want := range map[string]string{"../x": "outside", outside: "outside", "out": "leads out", "out/x": "leads out", "inside/y": "", "": ""} {
		r := s.copy(t.Context(), Copying{}, true, s.here+"/f", path)
		if want == "" && r.err != nil || want != "" && (r.err == nil || !strings.Contains(r.err.Error(), want)) {
			t.Errorf("to %s: %v, want %q", path, r.err, want)
		}
	}
	if all := describe(t, outside); len(all) != 2 {
		t.Errorf("outside there is %v", all)
	}
}

// The state of the worker itself is not copied, whatever the owner has listed.
func TestClosed(t *testing.T) {
	s := newSite(t, "state")
	write(t, s.there+"/state/sub/key", []byte("key"), 0o644)
	write(t, s.there+"/f", []byte("f"), 0o644)
	write(t, s.here+"/f", []byte("f"), 0o644)
	write(t, s.here+"/d/state/key", []byte("f"), 0o644)
	must(t, os.Symlink("state/sub", s.there+"/link"))
	for _, path := range []string{"state", "state/sub", "state/sub/key", "link/key", "state/no"} {
		if r := s.copy(t.Context(), Copying{}, false, path, s.here+"/copy"); !errors.Is(r.err, streams.ErrRefused) && !errors.Is(r.err, streams.ErrNotFound) {
			t.Errorf("from %s: %v", path, r.err)
		}
		if r := s.copy(t.Context(), Copying{}, true, s.here+"/f", path); !errors.Is(r.err, streams.ErrRefused) {
			t.Errorf("to %s: %v", path, r.err)
		}
	}
	r := s.copy(t.Context(), Copying{}, false, ".", s.here+"/all")
	must(t, r.err)
	if _, err := os.Stat(s.here + "/all/state"); err == nil || r.Left.Closed != 1 || r.Copied != 1 {
		t.Errorf("%+v, %v", r.Total, err)
	}
	r = s.copy(t.Context(), Copying{}, true, s.here+"/d/.", ".")
	must(t, r.err)
	if r.Failed == 0 || r.Copied != 0 {
		t.Errorf("%+v", r.Total)
	}
	if b, err := os.ReadFile(s.there + "/state/sub/key"); string(b) != "key" {
		t.Errorf("%q, %v", b, err)
	}
}

// What cannot be copied is told, and the rest is copied.
func TestSomeFail(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root reads everything: only what is in the way is looked at")
	}
	for _, to := range []bool{true, false} {
		s := newSite(t)
		from, dst := s.ends(to)
		for _, name := range []string{"a", "b", "c", "sub/d", "sub/e"} {
			write(t, from+"/t/"+name, []byte(name), 0o644)
		}
		write(t, from+"/t/closed", []byte("x"), 0)
		must(t, os.MkdirAll(dst+"/t/b", 0o755), os.Symlink("t", dst+"/t/sub"))
		r := s.copy(t.Context(), Copying{}, to, from+"/t", dst)
		must(t, r.err)
		failed := 4 // b, sub, and what is in it
		if os.Getuid() != 0 {
			failed++
		}
		if r.Failed != failed || r.files["b"].Err == nil || r.files["sub/d"].Err == nil || !errors.Is(r.files["sub"].Err, streams.ErrConflict) {
			t.Errorf("%+v %v", r.Total, r.files)
		}
		for _, name := range []string{"a", "c"} {
			if b, err := os.ReadFile(dst + "/t/" + name); string(b) != name {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
	}
}

// Sessions are bounded, for each peer and in all.
func TestSessions(t *testing.T) {
	s := newSite(t)
	write(t, s.there+"/f", []byte("f"), 0o644)
	var open []*streams.Conn
	dial := func() error {
		c, err := Read.Dial(t.Context(), s.Client, s.Server.ID(), ReadRequest{Path: "f"})
		if err == nil {
			open = append(open, c)
		}
		return err
	}
	for range MostPerPeer {
		must(t, dial())
	}
	if err := dial(); !errors.Is(err, streams.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	for _, c := range open {
		must(t, c.Close())
	}
	s.sessions(t, MostPerPeer)
	within(t, "there is room again", func() bool { return dial() == nil })
	must(t, open[len(open)-1].Close())
	s.sessions(t, MostPerPeer+1)
	for i := range Most + 1 {
		release, err := s.service.take(streamtest.PeerID(fmt.Sprint(i)))
		if (err == nil) != (i < Most) {
			t.Errorf("session %d: %v", i, err)
		}
		if err == nil {
			defer release()
		}
	}
}

// A copy ends when the owner allows it no more.
func TestOwnerForbids(t *testing.T) {
	for _, to := range []bool{true, false} {
		s := newSite(t)
		from, dst := s.ends(to)
		write(t, from+"/f", random(), 0o644)
		no := errors.New("not any more")
		c := Copying{Progress: func(done, _ int64) {
			if done > 1<<20 && s.denied.Load() == nil {
				s.denied.Store(&no)
				s.sessions(t, 1)
			}
		}}
		if r := s.copy(t.Context(), c, to, from+"/f", dst+"/g"); !errors.Is(r.err, streams.ErrRefused) {
			t.Errorf("to %v: %v", to, r.err)
		}
		if _, err := os.Stat(dst + "/g"); err == nil {
			t.Error("it is there")
		}
	}
}

// A file that changes while it is copied is copied again, and not for ever.
func TestChanges(t *testing.T) {
	for _, to := range []bool{true, false} {
		for _, times := range []int{1, 2, 100} {
			s := newSite(t)
			from, dst := s.ends(to)
			write(t, from+"/f", random(), 0o644)
			var last, changes int64
			c := Copying{Progress: func(done, _ int64) {
				if int(changes) < times && (changes == 0 || done < last) {
					changes++
					f, err := os.OpenFile(from+"/f", os.O_APPEND|os.O_WRONLY, 0)
					must(t, err)
					fmt.Fprintf(f, "change %d", changes)
					must(t, f.Close())
				}
				last = done
			}}
			r := s.copy(t.Context(), c, to, from+"/f", dst+"/g")
			must(t, r.err)
			if times < tries {
				if a, b := describe(t, from)["f"], describe(t, dst)["g"]; a != b || r.Failed > 0 {
					t.Errorf("to %v, %d changes: %s and %s, %+v", to, times, a, b, r.Total)
				}
			} else if r.Failed != 1 || !errors.Is(r.files["."].Err, streams.ErrConflict) {
				t.Errorf("to %v: %+v %v", to, r.Total, r.files)
			}
			if left, _ := filepath.Glob(dst + "/.*"); len(left) > 0 {
				t.Errorf("%s is left", left)
			}
		}
	}
}

// Without room nothing is begun.
func TestRoom(t *testing.T) {
	s := newSite(t)
	huge := s.here + "/huge"
	write(t, huge, nil, 0o644)
	must(t, os.Truncate(huge, 1<<43))
	if r := s.copy(t.Context(), Copying{}, true, huge, s.there); r.err == nil || !strings.Contains(r.err.Error(), "not enough room") {
		t.Errorf("got %v", r.err)
	}
	must(t, os.Rename(huge, s.there+"/huge"))
	if r := s.copy(t.Context(), Copying{}, false, s.there+"/huge", s.here); r.err == nil || !strings.Contains(r.err.Error(), "not enough room") {
		t.Errorf("got %v", r.err)
	}
	if all := describe(t, s.here); len(all) != 1 {
		t.Errorf("there is %v", all)
	}
}

// Two copies to the same file at a time do not mix.
func TestTwoAtOnce(t *testing.T) {
	s := newSite(t)
	write(t, s.here+"/a", bytes.Repeat([]byte("a"), 4<<20), 0o644)
	write(t, s.here+"/b", bytes.Repeat([]byte("b"), 4<<20), 0o644)
	var all sync.WaitGroup
	for range 5 {
		for _, name := range []string{"a", "b"} {
			all.Go(func() { s.copy(context.Background(), Copying{}, true, s.here+"/"+name, "c") })
		}
	}
	all.Wait()
	b, err := os.ReadFile(s.there + "/c")
	if err == nil && (len(b) != 4<<20 || bytes.Count(b, b[:1]) != len(b)) {
		t.Errorf("%d bytes, of which %d are the first one", len(b), bytes.Count(b, b[:1]))
	}
}
