//go:build !windows

package discovery

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// shareAddress lets several nodes of a machine listen on one port. Linux is content with the first
// option, whoever they run as; the BSDs and macOS want the second.
func shareAddress(_, _ string, c syscall.RawConn) (err error) {
	outer := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		)
	})
	return errors.Join(outer, err)
}
