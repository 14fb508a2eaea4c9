//go:build unix

package rootkey_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// What is no file in place of the key is named at once, and neither waited for nor followed.
func TestNoFileInPlaceOfTheKey(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, nil, 0o600))
	for kind, put := range map[string]func(path string) error{
		"a pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"a symbolic link": func(path string) error { return os.Symlink(other, path) },
	} {
		key := filepath.Join(t.TempDir(), "root.key")
		must(t, put(key))
		if _, err := rootkey.Load(key, ""); !errors.Is(err, durable.ErrUnsafe) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
