//go:build unix

package run

import (
	"cmp"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName is the name of a signal, as SIGKILL.
func signalName(n int) string {
	return cmp.Or(unix.SignalName(syscall.Signal(n)), fmt.Sprintf("signal %d", n))
}
