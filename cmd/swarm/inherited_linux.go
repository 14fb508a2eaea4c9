package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepInherited keeps file descriptors that this process was started with, beyond
// the usual three, from reaching the workloads that it starts: a shell or a
// supervisor may have left one open to something that is none of theirs. Those
// that this program opens itself are closed there anyway.
func keepInherited() {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // no /proc: then nobody can tell them
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
