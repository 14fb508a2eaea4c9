// Package running says which process runs the node of a state directory, so that a second one does
// not begin, and commands on the machine can tell whether the node runs:
//
//	release, err := running.Take(dir, "worker")
//	defer release()
//	…
//	p, ok := running.Look(dir)
//
// A file in the directory names the process, and is locked for as long as it lives: what a process
// left that was killed counts for nothing.
package running

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	fileName = "running"
	maxFile  = 4 << 10 // bytes

	// One who only looks holds the lock for a moment.
	takeWithin = 500 * time.Millisecond
	takeAgain  = 5 * time.Millisecond
)

// Process is the process that runs a node.
type Process struct {
	PID   int       `json:"pid"`
	Role  string    `json:"role"`
	Since time.Time `json:"since"`
}

// Already says that a node runs in the directory already.
type Already struct {
	Dir string
	Process
}

func (a *Already) Error() string {
	if a.PID == 0 { // it is about to say who it is
		return fmt.Sprintf("another process runs here already, with the state directory %s", a.Dir)
	}
	return fmt.Sprintf("a %s runs here already (pid %d), with the state directory %s", a.Role, a.PID, a.Dir)
}

// Take makes this process the one that runs the node in dir, until release is called or the process
// ends. The directory is made if it is missing. The error is an *[Already] where another process
// runs it.
func Take(dir, role string) (release func() error, err error) {
	if err := identity.MakeDir(dir); err != nil && !durable.IsReadOnly(err) {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	f, err := durable.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if durable.IsReadOnly(err) {
		return takeReadOnly(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("note which process runs here: %w", err)
	}
	if err = lock(dir, f); err == nil {
		err = write(f, Process{os.Getpid(), role, time.Now().UTC().Truncate(time.Second)})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(f.Truncate(0), f.Close()) }, nil
}

// takeReadOnly is Take on a disk that cannot be written: a node still answers there. An older file
// can be locked all the same.
func takeReadOnly(dir, path string) (release func() error, err error) {
	f, err := durable.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(dir, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

func lock(dir string, f *os.File) error {
	for began := time.Now(); ; time.Sleep(takeAgain) {
		taken, err := durable.TryLock(f)
		if taken || err != nil {
			return err
		}
		if time.Since(began) > takeWithin {
			return &Already{dir, read(f)}
		}
	}
}

func write(f *os.File, p Process) error {
	text, err := json.Marshal(p)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	return err
}

// read returns who the file names; the zero value where that is not known.
func read(f *os.File) (p Process) {
	text := make([]byte, maxFile)
	n, _ := f.ReadAt(text, 0)
	if json.Unmarshal(text[:n], &p) != nil {
		return Process{}
	}
	return p
}

// Look returns the process that runs the node in dir, and whether there is one. It writes nothing.
func Look(dir string) (p Process, ok bool) {
	f, err := durable.Open(filepath.Join(dir, fileName))
	if err != nil {
		return p, false
	}
	defer f.Close()
	if taken, err := durable.TryLock(f); taken || err != nil {
		return p, false
	}
	return read(f), true
}
