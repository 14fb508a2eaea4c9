package durable

import (
	"errors"
	"fmt"
	"os"
)

// Lock waits until no other process, and nobody else in this one, holds the lock that the file at path stands
// for, and takes it. The file is made if it is missing, and stays. The system frees the lock of a process that ends.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		if err = lockFile(f); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}
