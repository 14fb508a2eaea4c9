//go:build unix

package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/audit"
)

// A record with a pipe or a link in place of a segment is not whole, and keeps nobody waiting.
func TestNoFileInPlaceOfASegment(t *testing.T) {
	for kind, put := range map[string]func(path string) error{
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link": func(path string) error {
			return errors.Join(os.Rename(path+".moved", path+".at"), os.Symlink(path+".at", path))
		},
	} {
		dir := t.TempDir()
		l, err := audit.Open(audit.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(dir, "*.audit"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if err := errors.Join(os.Rename(found[0], found[0]+".moved"), put(found[0])); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Verify(dir); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("a %s: %v", kind, err)
		}
	}
}
