package main

import (
	"os"
	"os/signal"
	"syscall"
)

// outliveReader has a program that goes on for long survive the one who reads its
// log: a write that nobody reads is an error then, and not the end, which would be
// in the middle of whatever is done. Workloads still begin with the signal as it
// is by default. The signal is taken until stop is called.
func outliveReader() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
