package cp

import (
	"errors"

	"golang.org/x/sys/windows"
)

const (
	syncsDirs     = false
	renamesClosed = true // a file that is open cannot be renamed
)

// isFull reports whether an error is that of a disk with no room.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
