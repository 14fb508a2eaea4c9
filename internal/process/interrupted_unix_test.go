//go:build unix

package process_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/process"
)

func TestInterrupted(t *testing.T) {
	if process.Interrupted(t.Context()) {
		t.Error("one that did not end was interrupted")
	}
	for sig, want := range map[syscall.Signal]bool{syscall.SIGINT: true, syscall.SIGTERM: false} {
		ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
		below, cancel := context.WithCancel(ctx)
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		<-below.Done()
		if got := process.Interrupted(below); got != want {
			t.Errorf("after %v: %v", sig, got)
		}
		cancel()
		stop()
	}
}
