package audit

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes the file for this process, or fails at once. The system frees it with the file, also after a kill.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
}
