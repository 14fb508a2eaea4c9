//go:build unix

package policy

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openNoFollow opens a file that is no link; it does not wait when the file is a pipe.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// checkOwner tells why somebody else could have written a file.
func checkOwner(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("can be written by others (mode %04o); if it says what you want: chmod 600", mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("has no owner that can be told")
	}
	if us := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != us {
		return fmt.Errorf("belongs to user %d, we are %d", stat.Uid, us)
	}
	return nil
}
