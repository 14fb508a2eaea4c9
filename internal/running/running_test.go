package running_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/running"
)

// The second process on a state directory is told which one is there; what a killed one left
// counts for nothing.
func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, ok := running.Look(dir); ok {
		t.Error("something runs where there is no directory")
	}
	release, err := running.Take(dir, "worker")
	if err != nil {
		t.Fatal(err)
	}
	p, ok := running.Look(dir)
	if !ok || p.PID != os.Getpid() || p.Role != "worker" || p.Since.IsZero() {
		t.Errorf("runs %+v, %v", p, ok)
	}
	_, err = running.Take(dir, "relay")
	already, ok := errors.AsType[*running.Already](err)
	if !ok || already.PID != os.Getpid() || !strings.Contains(err.Error(), "a worker runs here already (pid ") {
		t.Errorf("got %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if p, ok := running.Look(dir); ok {
		t.Errorf("after the end runs %+v", p)
	}
	leftOver := []byte(`{"pid":1,"role":"worker","since":"2026-11-29T00:00:00Z"}`)
	if err := os.WriteFile(filepath.Join(dir, "running"), leftOver, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, ok := running.Look(dir); ok {
		t.Errorf("of a killed one runs %+v", p)
	}
	release, err = running.Take(dir, "worker")
	if err != nil {
		t.Fatal(err)
	}
	release()
}
