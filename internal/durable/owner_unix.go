//go:build unix

package durable

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openPlain are flags by which no link is followed and no pipe waited for.
const openPlain = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func foreign(path string, info fs.FileInfo) string {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Sprintf("can be written by others (mode %04o); if it is as you want it: chmod go-w %s", mode, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "has no owner that can be told"
	}
	if us := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != us {
		return fmt.Sprintf("belongs to user %d, we are %d; if it is as you want it: chown %d %s, or run as its owner", stat.Uid, us, us, path)
	}
	return ""
}
