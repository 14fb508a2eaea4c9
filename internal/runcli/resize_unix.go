//go:build unix

package runcli

import (
	"os"
	"os/signal"
	"syscall"
)

// resizes returns a channel that has a value when the terminal may have another size, until stop.
func resizes() (changes <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
