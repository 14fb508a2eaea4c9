//go:build unix

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A file system without hard links (exFAT, FUSE, SMB) is good enough: of many one wins, and all
// find its whole file.
func TestCreateFileWithoutLinks(t *testing.T) {
	for _, why := range []error{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		t.Run(why.Error(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			link := func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: why} }
			var won atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					err := createFile(path, fmt.Append(nil, "writer ", i), 0o600, link)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, fs.ErrExist) {
						t.Error(err)
					}
					if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "writer ") {
						t.Errorf("%q, %v", text, err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d have won", won.Load())
			}
		})
	}
	full := func(string, string) error { return syscall.ENOSPC }
	if err := createFile(filepath.Join(t.TempDir(), "f"), nil, 0o600, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// A file system without locks is not "in use by another".
func TestNoLocks(t *testing.T) {
	for err, want := range map[error]bool{syscall.ENOLCK: true, syscall.ENOTSUP: true, syscall.EWOULDBLOCK: false, syscall.EIO: false} {
		if got := hasNoLocks(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
