//go:build unix

package cp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// slack is how much more than is missing may be sent: what was under way, and what lies behind the last mark.
const slack = 2 << 20

// cutAt has a copy lose its connection when so much is there, and get it back a little later.
func (s *site) cutAt(c *Copying, at int64) (cuts *int) {
	cuts = new(int)
	c.Progress = func(done, _ int64) {
		if done < at || *cuts > 0 {
			return
		}
		*cuts++
		s.Conn.Close()
		time.AfterFunc(20*time.Millisecond, func() { s.Conn = streamtest.Connect(s.Caller, s.Server) })
	}
	return cuts
}

// A copy whose connection is lost goes on over the next one, and only what is missing is sent.
func TestGoesOn(t *testing.T) {
	size := int64(len(random()))
	for _, to := range []bool{true, false} {
		for tenth := range int64(10) {
			t.Run(fmt.Sprint(to, " ", tenth), func(t *testing.T) {
				s := newSite(t)
				from, dst := s.ends(to)
				write(t, from+"/f", random(), 0o644)
				var c Copying
				var cut, back int
				c.Cut = func(error) { cut++ }
				c.Back = func(time.Duration) { back++ }
				cuts := s.cutAt(&c, size*tenth/10+1)
				r := s.copy(t.Context(), c, to, from+"/f", dst)
				must(t, r.err)
				if a, b := describe(t, from)["f"], describe(t, dst)["f"]; a != b || r.Copied != 1 {
					t.Errorf("%s and %s, %+v", a, b, r.Total)
				}
				if *cuts != 1 || cut != 1 || back != 1 || r.Sent > size+slack {
					t.Errorf("%d cuts, told of %d, back %d times; %d bytes of %d", *cuts, cut, back, r.Sent, size)
				}
			})
		}
	}
}

// So does a tree of many files.
func TestTreeGoesOn(t *testing.T) {
	for _, to := range []bool{true, false} {
		s := newSite(t)
		from, dst := s.ends(to)
		for i := range 500 {
			write(t, fmt.Sprintf("%s/t/%d/%d", from, i%10, i), random()[i*1000:i*1000+20_000], 0o644)
		}
		must(t, os.Chmod(from+"/t/3", 0o550))
		t.Cleanup(func() { os.Chmod(from+"/t/3", 0o700); os.Chmod(dst+"/t/3", 0o700) })
		var c Copying
		cuts := s.cutAt(&c, 4<<20)
		r := s.copy(t.Context(), c, to, from+"/t", dst)
		must(t, r.err)
		if bad := difference(describe(t, from+"/t"), describe(t, dst+"/t")); len(bad) > 0 || r.Copied+r.Unchanged != 500 || *cuts != 1 {
			t.Errorf("%d differences, %+v, %d cuts", len(bad), r.Total, *cuts)
		}
		if r.Sent > 500*20_000+slack {
			t.Errorf("%d bytes were sent", r.Sent)
		}
	}
}

// broken breaks a copy off by its asker, when so much is there.
func (s *site) broken(t *testing.T, to bool, from, dst string, at int64) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := len(s.sessions(t, 0))
	r := s.copy(ctx, Copying{Progress: func(done, _ int64) {
		if done >= at {
			cancel()
		}
	}}, to, from, dst)
	if !errors.Is(r.err, context.Canceled) {
		t.Fatalf("it ended with %v", r.err)
	}
	s.sessions(t, n+1)
	return r
}

// A copy that its asker has broken off is gone on with by the next one, at each tenth; until then nothing
// has its name.
func TestBrokenOff(t *testing.T) {
	size := int64(len(random()))
	for _, to := range []bool{true, false} {
		for tenth := int64(1); tenth < 10; tenth++ {
			s := newSite(t)
			from, dst := s.ends(to)
			write(t, from+"/t/f", random(), 0o644)
			s.broken(t, to, from+"/t", dst+"/new", size*tenth/10)
			if _, err := os.Lstat(dst + "/new"); err == nil {
				t.Error("a part of it has its name")
			}
			r := s.copy(t.Context(), Copying{}, to, from+"/t", dst+"/new")
			must(t, r.err)
			if bad := difference(describe(t, from+"/t"), describe(t, dst+"/new")); len(bad) > 0 {
				t.Error(bad)
			}
			if rest := size - size*tenth/10; r.Sent > rest+slack {
				t.Errorf("to %v, at %d tenths: %d bytes were sent, %d were missing", to, tenth, r.Sent, rest)
			}
			if left, _ := filepath.Glob(dst + "/.*"); len(left) > 0 {
				t.Errorf("%s is left", left)
			}
		}
	}
}

// What is kept is checked: of a source, or a part, that is another one by now no more is taken than what is
// the same.
func TestKeptIsChecked(t *testing.T) {
	size := int64(len(random()))
	for _, to := range []bool{true, false} {
		for _, tt := range []struct {
			name   string
			change func(from, part string)
			missed int64 // is the same at least
		}{
			{"the beginning of the source", func(from, _ string) { flip(t, from, 0) }, 0},
			{"the middle of the source", func(from, _ string) { flip(t, from, 5<<20) }, 5 << 20},
			{"a shorter source", func(from, _ string) { must(t, os.Truncate(from, 4<<20)) }, 0},
			{"a longer source", func(from, _ string) { must(t, os.Truncate(from, size+100)) }, 8 << 20},
			{"the beginning of the part", func(_, part string) { flip(t, part, 0) }, 0},
			{"the middle of the part", func(_, part string) { flip(t, part, 5<<20) }, 5 << 20},
			{"a shorter part", func(_, part string) { must(t, os.Truncate(part, 3<<20+7)) }, 3 << 20},
			{"a longer part", func(_, part string) { must(t, os.Truncate(part, size+1)) }, 0},
			{"an empty part", func(_, part string) { must(t, os.Truncate(part, 0)) }, 0},
			{"no part", func(_, part string) { must(t, os.Remove(part)) }, 0},
			{"a part that others may write", func(_, part string) { must(t, os.Chmod(part, 0o666)) }, 0},
		} {
			t.Run(fmt.Sprint(tt.name, " ", to), func(t *testing.T) {
				s := newSite(t)
				from, dst := s.ends(to)
				write(t, from+"/f", random(), 0o644)
				s.broken(t, to, from+"/f", dst, 9<<20)
				tt.change(from+"/f", dst+"/"+partOf("f"))
				r := s.copy(t.Context(), Copying{}, to, from+"/f", dst)
				must(t, r.err)
				if a, b := describe(t, from)["f"], describe(t, dst)["f"]; a != b || r.Copied != 1 {
					t.Errorf("%s and %s, %+v %v", a, b, r.Total, r.files)
				}
				got, err := os.ReadFile(dst + "/f")
				must(t, err)
				want, err := os.ReadFile(from + "/f")
				must(t, err)
				if string(got) != string(want) {
					t.Error("the contents differ")
				}
				if r.Sent > int64(len(want))-tt.missed+slack {
					t.Errorf("%d bytes were sent", r.Sent)
				}
			})
		}
	}
}

// flip changes a byte.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	must(t, err, f.Close())
}

// What is there under the final name, and is the same by size and time but not by its hash, is replaced.
func TestUnchangedIsChecked(t *testing.T) {
	for _, to := range []bool{true, false} {
		s := newSite(t)
		from, dst := s.ends(to)
		write(t, from+"/f", random(), 0o644)
		must(t, s.copy(t.Context(), Copying{}, to, from+"/f", dst).err)
		info, err := os.Stat(dst + "/f")
		must(t, err)
		flip(t, dst+"/f", 6<<20)
		must(t, os.Chtimes(dst+"/f", info.ModTime(), info.ModTime()), os.Chmod(from+"/f", 0o600))
		r := s.copy(t.Context(), Copying{}, to, from+"/f", dst)
		must(t, r.err)
		if a, b := describe(t, from)["f"], describe(t, dst)["f"]; a != b || r.Copied != 1 {
			t.Errorf("%s and %s, %+v", a, b, r.Total)
		}
		r = s.copy(t.Context(), Copying{}, to, from+"/f", dst)
		if r.err != nil || r.Unchanged != 1 || r.Sent != 0 {
			t.Errorf("%+v, %v", r.Total, r.err)
		}
		must(t, os.Chmod(from+"/f", 0o640))
		r = s.copy(t.Context(), Copying{}, to, from+"/f", dst)
		if a, b := describe(t, from)["f"], describe(t, dst)["f"]; r.err != nil || a != b || r.Unchanged != 1 {
			t.Errorf("%s and %s, %+v, %v", a, b, r.Total, r.err)
		}
	}
}

// A machine that is not there, or does not speak, ends the attempt in time; one that was there is waited for.
func TestNobody(t *testing.T) {
	s := newBareSite(t)
	write(t, s.here+"/f", []byte("f"), 0o644)
	if r := s.copy(t.Context(), Copying{}, true, s.here+"/f", "x"); !errors.Is(r.err, streams.ErrUnsupported) {
		t.Errorf("got %v", r.err)
	}
	silent := make(chan struct{})
	must(t, Read.Handle(s.Mux, func(ctx context.Context, _ streams.Peer, _ ReadRequest, accept func() (*streams.Conn, error)) error {
		if _, err := accept(); err != nil {
			return err
		}
		<-silent
		return nil
	}))
	r := s.copy(t.Context(), Copying{Within: 50 * time.Millisecond}, false, "x", s.here)
	if streams.CodeOf(r.err) != streams.CodeTimeout {
		t.Errorf("got %v", r.err)
	}
	close(silent)
}
