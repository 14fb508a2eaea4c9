// Package durable writes files that survive a power cut.
//
// A file is first written whole to a temporary file in the same directory, synced, renamed into
// place, and then the directory is synced: a reader, and a machine that lost its power at any
// moment, sees the old file or the new one, never a mixture and never half of one.
//
//	err := durable.WriteFile(filepath.Join(state, "port"), []byte("4748\n"), 0o600)
//
// The well-known google/renameio does not build on Windows and does not sync the directory, so a
// rename that was reported as done may be gone after a power cut. That is why this small package
// exists.
//
// All functions may be called concurrently and from several processes; the last one to finish wins.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile puts data at path, replacing what is there. When it returns nil, the new content and
// its name are on the disk. The file has the permissions perm from the moment it is visible at
// path. On an error the old file is as it was, unless only the last step, the sync of the
// directory, has failed.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return place(path, data, perm, os.Rename)
}

// CreateFile puts data at path if nothing is there yet, and otherwise returns an error that matches
// fs.ErrExist and leaves what is there untouched. Of several processes that call it at once exactly
// one succeeds, and the others find its complete file. Where the file system has no hard links, as
// exFAT, a lock stands in for them, whose file stays beside path.
func CreateFile(path string, data []byte, perm fs.FileMode) error {
	return createFile(path, data, perm, os.Link)
}

func createFile(path string, data []byte, perm fs.FileMode, link func(from, to string) error) error {
	err := place(path, data, perm, link)
	if err == nil || !hasNoLinks(err) {
		return err
	}
	unlock, err := Lock(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("write %s: %w", path, fs.ErrExist)
	}
	return place(path, data, perm, os.Rename)
}

// SyncDir makes renames, creations and removals inside dir lasting. On Windows, where a directory
// cannot be synced, it does nothing.
func SyncDir(dir string) error {
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// place writes a synced temporary file beside path and hands it to move, which gives it its name.
func place(path string, data []byte, perm fs.FileMode, move func(from, to string) error) error {
	dir := filepath.Dir(path)
	temp, err := writeTemp(dir, filepath.Base(path), data, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// After a rename the name is gone already; after a link, or a failure, it must go.
	defer os.Remove(temp)
	if err := move(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDir(dir)
}

// writeTemp leaves a complete and synced temporary file in dir and returns its path.
func writeTemp(dir, base string, data []byte, perm fs.FileMode) (string, error) {
	// CreateTemp opens with 0600, so nobody else can read the data before perm is set.
	f, err := os.CreateTemp(dir, "."+base+".tmp-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && perm != 0o600 {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
