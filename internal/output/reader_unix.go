//go:build unix

package output

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// hangupTick is how often is looked whether ctx has ended, in milliseconds.
const hangupTick = 250

// awaitHangup waits until the other end of a pipe is closed, and reports whether it is; false when
// ctx has ended before, or f is no pipe.
func awaitHangup(ctx context.Context, f *os.File) bool {
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}}
		switch n, err := unix.Poll(fds, hangupTick); {
		case err != nil && !errors.Is(err, unix.EINTR):
			return false
		case n > 0:
			return fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		}
	}
	return false
}
