//go:build unix

package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

func TestReadFile(t *testing.T) {
	tests := []struct {
		name string
		mode fs.FileMode
		size int
		uid  int // 0: as it is
		want string
	}{
		{"private", 0o600, 3, 0, ""},
		{"others read it", 0o644, 3, 0, ""},
		{"its group writes it", 0o620, 3, 0, "chmod go-w"},
		{"all write it", 0o602, 3, 0, "chmod go-w"},
		{"somebody else's", 0o600, 3, 65534, "chown"},
		{"as large as may be", 0o600, 8, 0, ""},
		{"larger", 0o600, 9, 0, "more than 8 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := errors.Join(os.WriteFile(path, make([]byte, tt.size), 0o600), os.Chmod(path, tt.mode)); err != nil {
				t.Fatal(err)
			}
			if tt.uid != 0 {
				if os.Geteuid() != 0 {
					t.Skip("SKIPPED: only root can give a file away")
				}
				if err := os.Chown(path, tt.uid, -1); err != nil {
					t.Fatal(err)
				}
			}
			_, err := durable.ReadFile(path, 8)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadFileOfAnotherKind(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "f"), filepath.Join(dir, "l"), filepath.Join(dir, "p")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.ReadFile(link, 8); err == nil {
		t.Error("a link was followed")
	}
	if text, err := durable.ReadLinked(link, 8); err != nil || string(text) != "x" {
		t.Errorf("a link of a person: %q, %v", text, err)
	}
	for _, path := range []string{pipe, dir} {
		if _, err := durable.ReadFile(path, 8); !errors.Is(err, durable.ErrUnsafe) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if _, err := durable.ReadFile(filepath.Join(dir, "no"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
}

func TestCheckDir(t *testing.T) {
	for mode, ok := range map[fs.FileMode]bool{0o700: true, 0o755: true, 0o775: false, 0o707: false} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		if err := durable.CheckDir(dir); (err == nil) != ok || err != nil && !errors.Is(err, durable.ErrUnsafe) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}
