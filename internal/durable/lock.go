package durable

import (
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	lockWithin = 10 * time.Second // then whoever has it hangs
	lockAgain  = 5 * time.Millisecond
)

// ErrLocked says that somebody has held a lock for 10 s.
var ErrLocked = errors.New("another process holds it")

// ErrNoLocks says that the file system has no locks, as NFS has without a service
// for them: nobody may go on there, as another process could do the same.
var ErrNoLocks = errors.New("this file system has no locks: use a local disk")

// TryLock takes the lock that an open file stands for, and reports whether it was
// free. It is held until the file is closed, or the process ends.
func TryLock(f *os.File) (taken bool, err error) {
	taken, err = tryLock(f)
	if err != nil && hasNoLocks(err) {
		err = fmt.Errorf("%w (%w)", ErrNoLocks, err)
	}
	return taken, err
}

// Lock waits until no other process, and nobody else in this one, holds the lock that the file at
// path stands for, and takes it. The file is made if it is missing, and stays. The system frees the
// lock of a process that ends.
func Lock(path string) (unlock func() error, err error) {
	f, err := OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for began := time.Now(); ; time.Sleep(lockAgain) {
		taken, err := TryLock(f)
		if taken {
			return f.Close, nil
		}
		if err == nil && time.Since(began) > lockWithin {
			err = ErrLocked
		}
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, f.Close()))
		}
	}
}
