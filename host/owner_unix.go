//go:build unix

package host

import (
	"io/fs"
	"os"
	"syscall"
)

// unixPermissions says that mode bits and owners mean something here.
const unixPermissions = true

// foreignOwner reports the owner of a file when it is not the user we run as.
func foreignOwner(info fs.FileInfo) (owner, us int, foreign bool) {
	us = os.Geteuid()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, us, false
	}
	return int(stat.Uid), us, int(stat.Uid) != us
}
