//go:build unix

package cp

import (
	"errors"
	"syscall"
)

const (
	syncsDirs     = true
	renamesClosed = false // a file can be renamed while it is open
)

// isFull reports whether an error is that of a disk with no room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
