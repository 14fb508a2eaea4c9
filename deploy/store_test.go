package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/streams"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crashChild()
	}
	goleak.VerifyTestMain(m)
}

// tree is a bundle's files: path → content. A path that ends in * is executable.
type tree map[string]string

// bundleOf writes a tree and opens it.
func bundleOf(t testing.TB, name string, files tree) *Bundle {
	t.Helper()
	dir := t.TempDir()
	for p, content := range files {
		clean, exec := strings.CutSuffix(p, "*")
		full := filepath.Join(dir, filepath.FromSlash(clean))
		perm := fs.FileMode(0o600)
		if exec {
			perm = 0o700
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(content), perm)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Open(dir, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newStore(t testing.TB, cfg StoreConfig) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "deploy")
	}
	s, err := OpenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t testing.TB, s *Store, b *Bundle) Ack {
	t.Helper()
	body := b.Body()
	defer body.Close()
	ack, err := s.Apply(context.Background(), b.Manifest, body)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// checkCurrent reads back what is in place.
func checkCurrent(t testing.TB, s *Store, name string, want tree) {
	t.Helper()
	dir, _, err := s.Current(name)
	if err != nil {
		t.Fatal(err)
	}
	got := tree{}
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		key := filepath.ToSlash(rel)
		if info, _ := e.Info(); unixModes && info.Mode().Perm() == 0o755 || !unixModes && want[key+"*"] != "" {
			key += "*"
		}
		got[key] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for p, content := range want {
		if got[p] != content {
			t.Fatalf("%s: got %q, want %q", p, got[p], content)
		}
	}
}

// checkTidy fails when something was left beside releases and current.
func checkTidy(t testing.TB, s *Store, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != currentName && e.Name() != releasesDir {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

var (
	oldTree = tree{"bin/run*": "old", "etc/a.conf": "x=1\n", "empty": ""}
	newTree = tree{"bin/run*": "new, and longer", "etc/b.conf": "x=2\n"}
)

func TestApply(t *testing.T) {
	s := newStore(t, StoreConfig{})
	if _, _, err := s.Current("app"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: got %v, want fs.ErrNotExist", err)
	}
	first, second := bundleOf(t, "app", oldTree), bundleOf(t, "app", newTree)
	steps := []struct {
		name   string
		bundle *Bundle
		want   Ack
		tree   tree
	}{
		{"first", first, Ack{Bytes: 7, State: StateDeployed}, oldTree},
		{"again", first, Ack{Previous: first.Manifest.Release, State: StateUnchanged}, oldTree},
		{"second", second, Ack{Previous: first.Manifest.Release, Bytes: 19, State: StateDeployed}, newTree},
		{"back", first, Ack{Previous: second.Manifest.Release, State: StateSwitched}, oldTree},
	}
	for _, step := range steps {
		step.want.Name, step.want.Success, step.want.Release = "app", true, step.bundle.Manifest.Release
		if got := apply(t, s, step.bundle); got != step.want {
			t.Errorf("%s: got %+v, want %+v", step.name, got, step.want)
		}
		checkCurrent(t, s, "app", step.tree)
		checkTidy(t, s, "app")
	}
	if _, release, _ := s.Current("app"); release != first.Manifest.Release {
		t.Errorf("current release: got %s, want %s", release, first.Manifest.Release)
	}
}

func TestSingleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Tool.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, StoreConfig{})
	if got := apply(t, s, b); got.Name != "tool.sh" || got.State != StateDeployed {
		t.Errorf("got %+v", got)
	}
	checkCurrent(t, s, "tool.sh", tree{"Tool.sh*": "#!/bin/sh\n"})
}

// TestDamagedRelease: what was altered on the disk is not taken for the release.
func TestDamagedRelease(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(path string) error
	}{
		{"changed", func(p string) error { return os.WriteFile(p, []byte("OLD"), 0o755) }},
		{"removed", os.Remove},
	} {
		t.Run(damage.name, func(t *testing.T) {
			s := newStore(t, StoreConfig{})
			first, second := bundleOf(t, "app", oldTree), bundleOf(t, "app", newTree)
			for _, via := range []*Bundle{nil, second} { // repaired while current, and after another release
				apply(t, s, first)
				dir, _, err := s.Current("app")
				if err != nil {
					t.Fatal(err)
				}
				if err := damage.do(filepath.Join(dir, "bin", "run")); err != nil {
					t.Fatal(err)
				}
				if via != nil {
					apply(t, s, via)
				}
				if got := apply(t, s, first); got.State != StateDeployed || got.Bytes != 7 {
					t.Errorf("got %+v, want a new upload", got)
				}
				checkCurrent(t, s, "app", oldTree)
				checkTidy(t, s, "app")
			}
		})
	}
}

// TestFailuresLeaveTheOldRelease: each way to fail has its code, and changes nothing.
func TestFailuresLeaveTheOldRelease(t *testing.T) {
	good := bundleOf(t, "app", newTree)
	content := func(b *Bundle) []byte {
		body := b.Body()
		defer body.Close()
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}(good)
	flipped := bytes.Clone(content)
	flipped[len(flipped)-1] ^= 1
	broken := errors.New("broken pipe")
	tests := []struct {
		name string
		m    Manifest
		body io.Reader
		want string
		is   error
	}{
		{"one bit", good.Manifest, bytes.NewReader(flipped), "arrived with SHA-256", streams.ErrRefused},
		{"short", good.Manifest, bytes.NewReader(content[:len(content)-1]), "ended", streams.ErrInvalid},
		{"nothing", good.Manifest, bytes.NewReader(nil), "ended", streams.ErrInvalid},
		{"connection lost", good.Manifest, io.MultiReader(bytes.NewReader(content[:5]), iotest.ErrReader(broken)), "", broken},
		{"bad path", manifestOf("app", "../../current"), bytes.NewReader(nil), "must not lead out", streams.ErrInvalid},
		{"too large", bundleOf(t, "app", tree{"big": strings.Repeat("x", 7*EntryBytes+1)}).Manifest, bytes.NewReader(nil), "owner allows 32768", streams.ErrTooLarge},
		{"too many directories", bundleOf(t, "app", tree{"1/2/3/4/5/6/7/8/9": ""}).Manifest, bytes.NewReader(nil), "with its 9 files and directories", streams.ErrTooLarge},
	}
	s := newStore(t, StoreConfig{MaxBytes: 8 * EntryBytes})
	apply(t, s, bundleOf(t, "app", oldTree))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Apply(t.Context(), tt.m, tt.body)
			if err == nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q and code %d", err, tt.want, streams.CodeOf(tt.is))
			}
			checkCurrent(t, s, "app", oldTree)
			checkTidy(t, s, "app")
		})
	}
	if got := apply(t, s, bundleOf(t, "app", tree{"big": strings.Repeat("x", 7*EntryBytes)})); !got.Success {
		t.Error("a bundle of exactly the allowed size was refused")
	}
}

// TestNoRoom: a bundle that does not fit is refused before a byte of it is read.
func TestNoRoom(t *testing.T) {
	s := newStore(t, StoreConfig{MaxBytes: 1 << 62})
	m := manifestOf("app", "f")
	m.Files[0].Size = 1 << 61
	m.Release = m.ComputeRelease()
	_, err := s.Apply(t.Context(), m, readerFunc(func([]byte) (int, error) {
		t.Error("the body was read")
		return 0, io.EOF
	}))
	checkError(t, err, "not enough room", streams.ErrRefused)
	if !strings.Contains(err.Error(), "MiB are free on this machine, and ") || !strings.Contains(err.Error(), "make room there") {
		t.Errorf("got %v, want the room in MiB, and what to do", err)
	}
	if exists(filepath.Join(s.cfg.Dir, "app")) {
		t.Error("something is left of a name that never had a release")
	}
}

func TestCancelledUpload(t *testing.T) {
	s := newStore(t, StoreConfig{})
	apply(t, s, bundleOf(t, "app", oldTree))
	ctx, cancel := context.WithCancel(t.Context())
	b := bundleOf(t, "app", newTree)
	_, err := s.Apply(ctx, b.Manifest, readerFunc(func(p []byte) (int, error) { cancel(); p[0] = 'n'; return 1, nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	checkCurrent(t, s, "app", oldTree)
	checkTidy(t, s, "app")
}

// TestOneAtATime: a second upload of a name is refused at once, another name is not.
func TestOneAtATime(t *testing.T) {
	s := newStore(t, StoreConfig{})
	b, other := bundleOf(t, "app", oldTree), bundleOf(t, "other", oldTree)
	var during, meanwhile error
	body := b.Body()
	defer body.Close()
	once := false
	_, err := s.Apply(t.Context(), b.Manifest, readerFunc(func(p []byte) (int, error) {
		if !once {
			once = true
			_, during = s.Apply(t.Context(), b.Manifest, bytes.NewReader(nil))
			rest := other.Body()
			_, meanwhile = s.Apply(t.Context(), other.Manifest, rest)
			rest.Close()
		}
		return body.Read(p)
	}))
	if err != nil || meanwhile != nil {
		t.Errorf("got %v and %v, want none", err, meanwhile)
	}
	if !errors.Is(during, streams.ErrConflict) {
		t.Errorf("second upload: got %v, want 409", during)
	}
}

func TestOldReleasesGo(t *testing.T) {
	s := newStore(t, StoreConfig{Keep: 2})
	var releases []string
	for _, text := range []string{"1", "2", "3", "4", "5"} {
		b := bundleOf(t, "app", tree{"f": text})
		apply(t, s, b)
		releases = append(releases, b.Manifest.Release)
	}
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, "app", releasesDir))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Sorted(slices.Values(releases[2:]))
	if !slices.Equal(got, want) {
		t.Errorf("kept %v, want the last three %v", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links")
	}
	tests := []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"link to a file", func(dir string) error { return os.Symlink("/etc/hostname", filepath.Join(dir, "l")) }, "no regular file"},
		{"link to a directory", func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "l")) }, "no regular file"},
		{"empty", func(string) error { return nil }, "no files"},
		{"too large", func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), make([]byte, 11), 0o600) }, "more than 10 bytes"},
		{"reserved name", func(dir string) error { return os.WriteFile(filepath.Join(dir, "aux.c"), nil, 0o600) }, "reserved"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, "app", 10)
			checkError(t, err, tt.want, nil)
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no"), "app", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want fs.ErrNotExist", err)
	}
}

// TestBodyNotices a file that became shorter after it was hashed.
func TestBodyNotices(t *testing.T) {
	b := bundleOf(t, "app", newTree)
	if err := os.Truncate(filepath.Join(b.dir, "bin", "run"), 3); err != nil {
		t.Fatal(err)
	}
	body := b.Body()
	defer body.Close()
	if _, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
	}
}

// TestForeignCurrent: a link that we did not make is neither followed nor replaced.
func TestForeignCurrent(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links")
	}
	s := newStore(t, StoreConfig{})
	b := bundleOf(t, "app", oldTree)
	if err := errors.Join(os.MkdirAll(filepath.Join(s.cfg.Dir, "app"), 0o700), os.Symlink("/etc", filepath.Join(s.cfg.Dir, "app", currentName))); err != nil {
		t.Fatal(err)
	}
	body := b.Body()
	defer body.Close()
	if _, err := s.Apply(t.Context(), b.Manifest, body); err == nil || !strings.Contains(err.Error(), "did not make") {
		t.Errorf("got %v", err)
	}
	if _, _, err := s.Current("app"); err == nil {
		t.Error("a foreign link was followed")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
