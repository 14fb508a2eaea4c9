//go:build unix

package logs

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// A workload that puts a pipe in place of its log keeps no reader waiting.
func TestPipeInPlaceOfALog(t *testing.T) {
	l, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.write(Stdout, [][]byte{[]byte("a line")}); err != nil {
		t.Fatal(err)
	}
	path := l.path(l.segments[0])
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(0, Query{}); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("read: %v", err)
	}
	if _, err := l.Tail(Query{}); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("tail: %v", err)
	}
	if _, err := l.firstTime(l.segments[0]); !errors.Is(err, durable.ErrUnsafe) {
		t.Errorf("time: %v", err)
	}
}
