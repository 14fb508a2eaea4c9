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
