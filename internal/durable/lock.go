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

// Lock waits until no other process, and nobody else in this one, holds the lock that the file at path stands
// for, and takes it. The file is made if it is missing, and stays. The system frees the lock of a process that ends.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for began := time.Now(); ; time.Sleep(lockAgain) {
		taken, err := tryLock(f)
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
