package discovery

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// shareAddress lets several nodes of a machine listen on one port.
func shareAddress(_, _ string, c syscall.RawConn) (err error) {
	outer := c.Control(func(fd uintptr) {
		err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	})
	return errors.Join(outer, err)
}
