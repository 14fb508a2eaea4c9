package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/streams"
)

// greeter runs the greeting side with these friends until stop, and returns its first address.
func greeter(t *testing.T, friends ...string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := greet(ctx, w, friends)
		w.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		t.Fatal("it printed no address: ", lines.Err())
	}
	go io.Copy(io.Discard, r)
	return lines.Text(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestBothSides(t *testing.T) {
	t.Chdir(t.TempDir())
	address, stop := greeter(t) // without an argument nobody may say hello
	var out strings.Builder
	if err := ask(t.Context(), &out, address); !errors.Is(err, streams.ErrForbidden) {
		t.Errorf("a stranger got %v", err)
	}
	stop()
	me := strings.TrimPrefix(strings.Split(out.String(), "\n")[0], "I am ")
	address, stop = greeter(t, me)
	defer stop()
	out.Reset()
	if err := ask(t.Context(), &out, address); err != nil || !strings.HasSuffix(out.String(), "\nhello, bob\n") {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := greet(t.Context(), io.Discard, []string{"bob"}); err == nil {
		t.Error("a friend that is no peer ID")
	}
}
