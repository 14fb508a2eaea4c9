//go:build unix

package statements

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// What is no file in place of one is named at once when something is added to it, and neither waited
// for nor followed.
func TestNoFileInPlaceOfOne(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, put := range map[string]func(path string) error{
		"a pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"a symbolic link": func(path string) error { return os.Symlink(other, path) },
	} {
		for _, name := range []string{StatementsFile, IndexFile} {
			path := filepath.Join(t.TempDir(), name)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if _, err := appendTo(path, nil); !errors.Is(err, durable.ErrUnsafe) {
				t.Errorf("%s in place of %s: %v", kind, name, err)
			}
		}
	}
}
