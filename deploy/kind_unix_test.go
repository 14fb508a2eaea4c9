//go:build unix

package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A workload that puts something else in place of a file of its release holds up no deployment, and
// the file is put there anew.
func TestNoFileInRelease(t *testing.T) {
	for kind, put := range map[string]func(path string) error{
		"a pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"a symbolic link": func(path string) error { return os.Symlink("g", path) },
	} {
		s := newStore(t, StoreConfig{})
		b := bundleOf(t, "app", tree{"f": "x", "g": "x"})
		if _, err := s.Apply(t.Context(), b.Manifest, b.Body()); err != nil {
			t.Fatal(err)
		}
		dir, _, err := s.Current("app")
		if err != nil {
			t.Fatal(err)
		}
		f := filepath.Join(dir, "f")
		if err := errors.Join(os.Remove(f), put(f)); err != nil {
			t.Fatal(err)
		}
		if ack, err := s.Apply(t.Context(), b.Manifest, b.Body()); err != nil || ack.State != StateDeployed {
			t.Errorf("%s: got %v, %v", kind, ack, err)
		}
	}
}
