//go:build unix

package durable_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// What is no file is refused at once, however it is opened, and named with what to do.
func TestOpenNoFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.WriteFile(at("file"), []byte("x"), 0o600), os.Symlink("file", at("link")), os.Symlink("no", at("dangling")),
		os.Symlink(os.DevNull, at("null")), os.Mkdir(at("dir"), 0o700), syscall.Mkfifo(at("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	flags := map[string]int{"read": os.O_RDONLY, "append": os.O_RDWR | os.O_APPEND, "write": os.O_WRONLY, "make": os.O_RDWR | os.O_CREATE | os.O_TRUNC}
	for name, kind := range map[string]string{
		"link": "a symbolic link", "dangling": "a symbolic link", "null": "a symbolic link", "dir": "a directory", "pipe": "a pipe", "socket": "a socket",
	} {
		check := func(how string, f *os.File, err error) {
			t.Helper()
			if f != nil || !errors.Is(err, durable.ErrUnsafe) || !strings.Contains(err.Error(), at(name)+" is "+kind+": put the file itself there") {
				t.Errorf("%s, %s: got %v, %v", name, how, f, err)
			}
		}
		for how, flag := range flags {
			f, err := durable.OpenFile(at(name), flag, 0o600)
			check(how, f, err)
		}
		f, err := durable.OpenIn(root, name)
		check("below a root", f, err)
		_, err = durable.Lock(at(name))
		check("lock", nil, err)
	}
	if _, err := durable.Open(os.DevNull); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("a device: %v", err)
	}
	if _, err := os.Lstat(at("no")); err == nil {
		t.Error("a file was made where a link leads to")
	}
	for how, open := range map[string]func() (*os.File, error){
		"Open":   func() (*os.File, error) { return durable.Open(at("file")) },
		"OpenIn": func() (*os.File, error) { return durable.OpenIn(root, "file") },
	} {
		f, err := open()
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if text, err := io.ReadAll(f); err != nil || string(text) != "x" {
			t.Errorf("%s: %q, %v", how, text, err)
		}
		f.Close()
	}
}
