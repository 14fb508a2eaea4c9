// Package process handles what a process gets from outside: signals, and the file descriptors that
// it was started with.
package process

import (
	"os"
	"os/signal"
	"syscall"
)

// OutliveReader lets a long-running program survive the reader of its log: a write that nobody
// reads then fails, instead of ending the program in the middle of its work. Workloads still begin
// with the default action of the signal. It is in effect until stop is called.
func OutliveReader() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
