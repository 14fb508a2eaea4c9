//go:build unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asked is set in the processes that this test starts of itself.
const asked = "SWARM_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asked) == "write" {
		writeToNobody()
	}
	goleak.VerifyTestMain(m)
}

// writeToNobody writes to a standard output that nobody reads, and exits with 7 if it outlives that.
func writeToNobody() {
	stop := OutliveReader()
	defer stop()
	for range 100 {
		if _, err := os.Stdout.WriteString("a line\n"); errors.Is(err, syscall.EPIPE) {
			os.Exit(7)
		}
	}
	os.Exit(1)
}

// A program whose reader is gone gets an error, and is not ended by the signal.
func TestOutliveReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asked+"=write")
	cmd.Stdout = w
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit code 7", err)
	}
}

func TestOnHangup(t *testing.T) {
	// Whatever becomes of OnHangup, the signal does not end the test.
	guard := make(chan os.Signal, 1)
	signal.Notify(guard, syscall.SIGHUP)
	defer signal.Stop(guard)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	called, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		OnHangup(ctx, func() { called <- struct{}{} })
	}()
	hangUp := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for seen := 0; seen < 2; { // each time anew
		hangUp()
		select {
		case <-called:
			seen++
		case <-time.After(time.Millisecond): // it was not listening yet
		}
	}
	cancel()
	for open := true; open; { // one more signal may have been on its way
		select {
		case <-called:
		case <-ended:
			open = false
		}
	}
	hangUp()
	<-guard
	select {
	case <-called:
		t.Error("called after its end")
	default:
	}
}
