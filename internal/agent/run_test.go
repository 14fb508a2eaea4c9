package agent

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// An exit code counts when as many bytes have arrived as the machine says, and not when one is missing
// or too many.
func TestExitCodeCountsWithTheBytes(t *testing.T) {
	zero := 0
	for _, tt := range []struct {
		name        string
		out, errors int64 // as the machine says
		ok          bool
	}{
		{"all", 5, 3, true}, {"a byte of stdout is missing", 6, 3, false}, {"a byte of stderr is missing", 5, 4, false},
		{"a byte too many", 4, 3, false},
	} {
		r := &commandRun{changed: make(chan struct{}, 1)}
		for _, o := range []run.Output{
			{Stream: run.Stdout, Data: []byte("abc")}, {Stream: run.Stderr, Data: []byte("xyz")}, {Stream: run.Stdout, Offset: 3, Data: []byte("de")},
		} {
			if err := r.count(o); err != nil {
				t.Fatal(err)
			}
		}
		if r.count(run.Output{Stream: run.Stdout, Offset: 4, Data: []byte("e")}) == nil || r.count(run.Output{Stream: run.Stdout, Offset: 6, Data: []byte("e")}) == nil {
			t.Error("a gap, or bytes for the second time, are taken")
		}
		e := run.Exit{Code: &zero, StdoutBytes: tt.out, StderrBytes: tt.errors}
		err := r.complete(e)
		if c := code(&e, err); (err == nil) != tt.ok || (c != nil) != tt.ok {
			t.Errorf("%s: %v, code %v", tt.name, err, c)
		}
	}
}

// A command that ended with another code than 0 has failed, and so have those that are not known.
func TestSummaryOfCommands(t *testing.T) {
	zero, one := 0, 1
	var s Summary
	s.add(Result{Code: &zero})
	s.add(Result{Code: &one})
	s.add(Result{Err: streams.ErrRefused})
	s.add(Result{Err: streams.ErrForbidden})
	s.add(Result{Err: streams.ErrUnavailable})
	if want := (Summary{OK: 1, Failed: 2, Denied: 1, Unreachable: 1}); s.OK != want.OK || s.Failed != want.Failed || s.Denied != want.Denied || s.Unreachable != want.Unreachable {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

// Each machine gets all of the input. One that is slow holds it up, within bounds, and one that has
// left does not.
func TestInputIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopies()
		quick, slow, gone := c.add(), c.add(), c.add()
		gone.leave()
		input := make(chan []byte)
		var passed atomic.Int64
		go func() {
			defer close(input)
			for i := range 100 {
				input <- []byte{byte(i)}
				passed.Add(1)
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.pass(ctx, input)
		var got, late []byte
		done := make(chan struct{})
		go func() {
			defer close(done)
			for p := range quick.pieces {
				got = append(got, p...)
			}
		}()
		time.Sleep(time.Second)
		if passed.Load() > inputQueue+2 {
			t.Errorf("%d pieces wait for a slow machine, at most %d may", passed.Load(), inputQueue+2)
		}
		for p := range slow.pieces {
			late = append(late, p...)
		}
		<-done
		if len(got) != 100 || !bytes.Equal(got, late) {
			t.Errorf("%d and %d pieces arrived", len(got), len(late))
		}
	})
}
