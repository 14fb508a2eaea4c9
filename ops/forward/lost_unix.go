//go:build unix

package forward

import (
	"net"
	"syscall"
)

// lost returns an error when the other side of a connection has reset it, which nobody reads from.
func lost(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var (
		errno int
		fault error
	)
	err = raw.Control(func(fd uintptr) {
		errno, fault = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	})
	switch {
	case err != nil:
		return err
	case fault != nil:
		return fault
	case errno != 0:
		return syscall.Errno(errno)
	}
	return nil
}
