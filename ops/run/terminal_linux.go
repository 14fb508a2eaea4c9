package run

import "golang.org/x/sys/unix"

// How the modes of a terminal are read and set.
const (
	getModes = unix.TCGETS
	setModes = unix.TCSETS
)

// stopOutput has a terminal print no more, or go on.
func stopOutput(fd int, yes bool) error {
	if yes {
		return unix.IoctlSetInt(fd, unix.TCXONC, unix.TCOOFF)
	}
	return unix.IoctlSetInt(fd, unix.TCXONC, unix.TCOON)
}
