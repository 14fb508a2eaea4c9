package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Either of the two files may be cut off, changed or gone; with both nothing is made up.
func TestTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if _, _, err := durable.ReadTwice(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := durable.WriteTwice(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (string, error, error) {
		b, mended, err := durable.ReadTwice(path, 10)
		return string(b), mended, err
	}
	if got, mended, err := read(); got != "0123456789" || mended != nil || err != nil {
		t.Errorf("got %q, %v, %v", got, mended, err)
	}
	for i := 0; i < len(whole); i += 3 {
		for _, bad := range [][]byte{whole[:i], append(append(bytes.Clone(whole[:i]), whole[i]^1), whole[i+1:]...)} {
			put(path, bad)
			put(path+".copy", whole)
			if got, mended, err := read(); got != "0123456789" || mended == nil || err != nil {
				t.Fatalf("the file is %q: got %q, %v, %v", bad, got, mended, err)
			}
			put(path+".copy", bad)
			if got, _, err := read(); !errors.Is(err, durable.ErrDamaged) {
				t.Fatalf("both are %q: got %q, %v", bad, got, err)
			}
			put(path, whole)
			if got, mended, err := read(); got != "0123456789" || mended != nil || err != nil {
				t.Fatalf("the copy is %q: got %q, %v, %v", bad, got, mended, err)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(path+".copy", whole)
	if got, mended, err := read(); got != "0123456789" || mended == nil || err != nil {
		t.Errorf("without the file: %q, %v, %v", got, mended, err)
	}
	put(path, append(whole, 'x'))
	put(path+".copy", append(whole, 'x'))
	if _, _, err := read(); !errors.Is(err, durable.ErrDamaged) || !strings.Contains(err.Error(), "75 bytes") {
		t.Errorf("a byte too many: %v", err)
	}
}

// What could not be written changes nothing.
func TestTwiceWithoutRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if err := durable.WriteTwice(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path+".copy"), os.MkdirAll(filepath.Join(path+".copy", "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteTwice(path, []byte("new"), 0o600); err == nil {
		t.Error("written over a directory")
	}
	if got, _, err := durable.ReadTwice(path, 10); string(got) != "old" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
