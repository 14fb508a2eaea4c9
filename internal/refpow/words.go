package refpow

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// plain says why there is no pool, in words for the owner of the machine: the network's errors name
// addresses and system calls.
func plain(err error) string {
	var (
		errno syscall.Errno
		name  *net.DNSError
	)
	switch {
	case errors.As(err, &name):
		return "its name is not known: " + name.Name
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it does not answer"
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "it does not answer"
	}
	return err.Error()
}
