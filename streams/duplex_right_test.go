package streams_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// A connection ends within ten seconds of the loss of the right that opened it.
func TestDuplexEndsWithTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		cfg := forMember()
		cfg.Authorize = func(context.Context, streams.Peer, streams.Verb) error {
			if lost.Load() {
				return streams.Errorf(streams.CodeForbidden, "revoked")
			}
			return nil
		}
		p := newPipe(t, cfg)
		web := streams.Duplex{
			Family:  streams.Family{Name: "duplex", Versions: []string{"1.0.0"}},
			Request: "dial", Reply: "dialled", Verb: "web.read",
		}
		l, err := web.Listen(p.Mux)
		noError(t, err)
		ours, err := web.Dial(t.Context(), p.Client, p.Server.ID())
		noError(t, err)
		theirs, err := l.Accept()
		noError(t, err)
		time.Sleep(time.Hour)
		_, err = theirs.Write([]byte("x"))
		noError(t, err)
		_, err = ours.Read(make([]byte, 1))
		noError(t, err)

		lost.Store(true)
		began := time.Now()
		if _, err := ours.Read(make([]byte, 1)); err == nil {
			t.Error("the dialler reads on")
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("after %v", took)
		}
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, streams.ErrForbidden) {
			t.Errorf("the listener's side reads %v", err)
		}
		noError(t, ours.Close(), theirs.Close(), l.Close())
	})
}

// So does one that a handler has made, and so does the attempt to make one.
func TestDuplexForEndsWithTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		cfg := forMember()
		cfg.Authorize = func(context.Context, streams.Peer, streams.Verb) error {
			if lost.Load() {
				return streams.Errorf(streams.CodeForbidden, "revoked")
			}
			return nil
		}
		p := newPipe(t, cfg)
		tunnel := streams.DuplexFor[struct{}]{
			Family:  streams.Family{Name: "tunnel", Versions: []string{"1.0.0"}},
			Request: "open", Reply: "opened", Verb: "tunnel",
		}
		var attempt atomic.Bool
		noError(t, tunnel.Handle(p.Mux, func(ctx context.Context, _ streams.Peer, _ struct{}, accept func() (*streams.Conn, error)) error {
			if attempt.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			c, err := accept()
			noError(t, err)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, streams.ErrForbidden) || ctx.Err() == nil {
				t.Errorf("the handler reads %v", err)
			}
			return nil
		}))
		for range 2 {
			lost.Store(false)
			c, err := tunnel.Dial(t.Context(), p.Client, p.Server.ID(), struct{}{})
			noError(t, err)
			time.Sleep(time.Hour)
			lost.Store(true)
			began := time.Now()
			if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(began) > 10*time.Second {
				t.Errorf("the dialler reads on, %v after %v", err, time.Since(began))
			}
			noError(t, c.Close())
		}
		lost.Store(false)
		attempt.Store(true)
		time.AfterFunc(time.Second, func() { lost.Store(true) })
		began := time.Now()
		if _, err := tunnel.Dial(t.Context(), p.Client, p.Server.ID(), struct{}{}); !errors.Is(err, streams.ErrForbidden) || time.Since(began) > 10*time.Second {
			t.Errorf("an attempt: %v after %v", err, time.Since(began))
		}
	})
}
