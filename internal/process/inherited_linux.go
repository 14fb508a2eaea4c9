package process

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// KeepInherited keeps file descriptors beyond the usual three, with which this process was started,
// out of the workloads that it starts: a shell or a supervisor may have left one open to something
// that is none of their business. Those that this program opens are closed there anyway.
func KeepInherited() {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc they are not known
	}
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
