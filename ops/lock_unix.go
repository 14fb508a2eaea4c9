//go:build unix

package ops

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the file for this process, or fails at once. The system gives it back when the file is closed, also by
// a kill.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
