package run

import "golang.org/x/sys/unix"

// How the modes of a terminal are read and set.
const (
	getModes = unix.TIOCGETA
	setModes = unix.TIOCSETA
)

// stopOutput has a terminal print no more, or go on.
func stopOutput(fd int, yes bool) error {
	if yes {
		return unix.IoctlSetInt(fd, unix.TIOCSTOP, 0)
	}
	return unix.IoctlSetInt(fd, unix.TIOCSTART, 0)
}
