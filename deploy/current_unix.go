//go:build !windows

package deploy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// unixModes says that files have permission bits here.
const unixModes = true

const currentName = "current"

// readCurrent returns the directory in releases that the link names.
func readCurrent(dir string) (string, error) {
	target, err := os.Readlink(filepath.Join(dir, currentName))
	if err != nil {
		return "", err
	}
	parent, base := filepath.Split(target)
	if parent != releasesDir+"/" || base == "" || base == ".." {
		return "", fmt.Errorf("%s is a link to %q, which we did not make", currentName, target)
	}
	return base, nil
}

// writeCurrent lets the link name another release: a new link is made beside it and renamed over
// it, in one step.
func writeCurrent(dir, release string) error {
	temp := filepath.Join(dir, ".current.tmp-"+rand.Text())
	if err := os.Symlink(filepath.Join(releasesDir, release), temp); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, currentName)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return durable.SyncDir(dir)
}
