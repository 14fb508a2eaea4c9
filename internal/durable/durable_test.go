package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

func TestWriteFile(t *testing.T) {
	tests := []struct {
		name string
		old  []byte
		data []byte
		perm fs.FileMode
	}{
		{"new", nil, []byte("hello"), 0o600},
		{"replace", []byte("old"), []byte("new"), 0o600},
		{"shorter", []byte("a longer text"), []byte("x"), 0o640},
		{"empty", []byte("old"), []byte{}, 0o600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if tt.old != nil {
				if err := os.WriteFile(path, tt.old, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := durable.WriteFile(path, tt.data, tt.perm); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, tt.data) {
				t.Fatalf("got %q, %v, want %q", got, err, tt.data)
			}
			checkPerm(t, path, tt.perm)
			checkAlone(t, dir)
		})
	}
}

func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := durable.WriteFile(filepath.Join(dir, "no", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: got %v, want fs.ErrNotExist", err)
	}
	target := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(target, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(target, nil, 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	checkAlone(t, dir)
}

// TestCreateFileOnce lets many callers race for one name: one wins, and what all find is the
// winner's file.
func TestCreateFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var won atomic.Pointer[string]
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			text := fmt.Sprintf("writer %d", i)
			switch err := durable.CreateFile(path, []byte(text), 0o600); {
			case err == nil && !won.CompareAndSwap(nil, &text):
				t.Error("a second caller won")
			case err != nil && !errors.Is(err, fs.ErrExist):
				t.Errorf("got %v, want fs.ErrExist", err)
			}
			if got, err := os.ReadFile(path); err != nil || len(got) == 0 {
				t.Errorf("after the call: %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || won.Load() == nil || string(got) != *won.Load() {
		t.Fatalf("got %q, %v, want the winner's text", got, err)
	}
	checkPerm(t, path, 0o600)
	checkAlone(t, filepath.Dir(path))
}

func TestSyncDirMissing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a directory is not synced on Windows")
	}
	if err := durable.SyncDir(filepath.Join(t.TempDir(), "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func checkPerm(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("permissions: got %v, %v, want %v", info.Mode().Perm(), err, want)
	}
}

// checkAlone fails when a temporary file was left behind.
func checkAlone(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v, want one entry", entries, err)
	}
}

// Only one holds a lock, and the next one gets it when it is given back.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			unlock, err := durable.Lock(path)
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), inside.Add(1)))
			runtime.Gosched()
			inside.Add(-1)
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n != 1 {
		t.Errorf("%d held it at once", n)
	}
	synctest.Test(t, func(t *testing.T) {
		unlock, err := durable.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := durable.Lock(path); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("of one who hangs: %v", err)
		}
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := durable.Lock(filepath.Join(t.TempDir(), "no", "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder there is not: %v", err)
	}
}
