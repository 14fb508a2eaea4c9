//go:build unix

package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/statements"
)

// What is no file in place of one is named at once, and neither waited for nor followed.
func TestNoFileInPlaceOfOne(t *testing.T) {
	d := newDamaged(t)
	other := filepath.Join(memoryDir(t), "other")
	for kind, put := range map[string]func(path string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a symbolic link": func(path string) error {
			return errors.Join(os.WriteFile(other, d.files[filepath.Base(path)], 0o600), os.Symlink(other, path))
		},
	} {
		for _, name := range []string{statements.StatementsFile, statements.IndexFile, membershipFile} {
			d.with(name, nil)
			path := filepath.Join(d.rig.Dir, name)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFleet(d.rig)
			if !errors.Is(err, durable.ErrUnsafe) || !strings.Contains(err.Error(), path+" is "+kind+": put the file itself there") {
				t.Errorf("%s in place of %s: %v", kind, name, err)
			}
		}
		d.with("", nil)
		f, err := OpenFleet(d.rig)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(d.rig.Dir, statements.StatementsFile)
		if err := errors.Join(os.Remove(path), put(path)); err != nil {
			t.Fatal(err)
		}
		if !f.memory.store.Stale() {
			t.Errorf("%s in place of the statements while it runs is not seen", kind)
		}
		if _, err := f.memory.store.Read(); !errors.Is(err, durable.ErrUnsafe) {
			t.Errorf("%s in place of the statements while it runs: %v", kind, err)
		}
	}
}
