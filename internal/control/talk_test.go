package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// Inputs reach the job that they name, in order, until it ends; a wish to stop overtakes them.
func TestTalks(t *testing.T) {
	var all talks
	take := func(r inputRequest) error { return all.take(t.Context(), r, nil) }
	var one, other agent.Job
	end := all.begin(t.Context(), execRequest{Talk: "one", Input: true}, &one)
	endOther := all.begin(t.Context(), execRequest{Talk: "other"}, &other)
	if one.Input == nil || one.Stop == nil || other.Input != nil || other.Stop == nil {
		t.Errorf("the jobs are %+v and %+v", one, other)
	}
	if err := take(inputRequest{Talk: "none", Data: []byte("x")}); !errors.Is(err, errNoTalk) {
		t.Errorf("a job that there is not: %v", err)
	}
	if err := take(inputRequest{Talk: "other", Data: []byte("x")}); err != nil {
		t.Errorf("input for a job that has none: %v", err)
	}
	var got []string
	var reading sync.WaitGroup
	reading.Go(func() {
		for p := range one.Input {
			got = append(got, string(p))
		}
	})
	for _, r := range []inputRequest{{Data: []byte("a")}, {Data: []byte("b"), End: true}, {Data: []byte("too late")}, {End: true}} {
		r.Talk = "one"
		if err := take(r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	reading.Wait()
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q", got)
	}
	for range 2 {
		if err := take(inputRequest{Talk: "other", Stop: true}); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	<-other.Stop
	end()
	endOther()
	if err := take(inputRequest{Talk: "one", Stop: true}); !errors.Is(err, errNoTalk) {
		t.Errorf("a job that has ended: %v", err)
	}
}

// The sizes of a terminal reach the job that has one, and overtake what is typed.
func TestTalksOfTerminals(t *testing.T) {
	var all talks
	var at, plain agent.Job
	end := all.begin(t.Context(), execRequest{Talk: "at", Input: true, Sizes: true}, &at)
	endPlain := all.begin(t.Context(), execRequest{Talk: "plain"}, &plain)
	defer endPlain()
	if at.Sizes == nil || plain.Sizes != nil {
		t.Fatalf("the jobs are %+v and %+v", at, plain)
	}
	ctx, cancel := context.WithCancel(t.Context())
	typed := make(chan error)
	go func() { typed <- all.take(ctx, inputRequest{Talk: "at", Data: []byte("x")}, nil) }() // nobody takes it
	size := run.Size{Rows: 50, Cols: 132}
	taken := make(chan error)
	go func() { taken <- all.take(t.Context(), inputRequest{Talk: "at", Size: &size}, nil) }()
	if got := <-at.Sizes; got != size {
		t.Errorf("got %+v", got)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	cancel()
	<-typed
	if err := all.take(t.Context(), inputRequest{Talk: "plain", Size: &size}, nil); err != nil {
		t.Errorf("a size for a job without a terminal: %v", err)
	}
	go func() { taken <- all.take(t.Context(), inputRequest{Talk: "at", Size: &size}, nil) }()
	end()
	if err := <-taken; !errors.Is(err, errNoTalk) {
		t.Errorf("a size for a job that ends: %v", err)
	}
}

// An input that nobody takes waits for the end of the job, or of the one who brings it.
func TestTalksThatNobodyHears(t *testing.T) {
	for _, how := range []string{"the job ends", "the command goes"} {
		var all talks
		var job agent.Job
		end := all.begin(t.Context(), execRequest{Talk: "one", Input: true}, &job)
		ctx, cancel := context.WithCancel(t.Context())
		taken := make(chan error)
		go func() { taken <- all.take(ctx, inputRequest{Talk: "one", Data: []byte("x")}, nil) }()
		want := errNoTalk
		if how == "the command goes" {
			want = context.Canceled
			cancel()
			if err := <-taken; !errors.Is(err, want) {
				t.Errorf("%s: %v", how, err)
			}
			end()
			continue
		}
		end()
		if err := <-taken; !errors.Is(err, want) {
			t.Errorf("%s: %v", how, err)
		}
		cancel()
	}
}
