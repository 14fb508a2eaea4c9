package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Resumption does exchanges that outlive their connections, and is told what becomes of these. A
// nil function is not called.
type Resumption struct {
	// Cut is called when the way to the peer is lost, with the reason, once until Back.
	Cut func(why error)
	// Back is called when the exchange goes on, with how long it was cut.
	Back func(away time.Duration)
	// Begun says that the peer took part before, by the word of whoever began the exchange.
	Begun bool
}

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second  // between two attempts, if no connection appears
	resumeWithin = 30 * time.Second // for an attempt to go on
)

// Do does an exchange with p that goes on over the next connection when the one it is on is
// lost. attempt does what is left of the exchange, from where it stands, and calls goesOn once p
// takes part in it; goesOn may be called more often, and by another goroutine of the attempt.
//
// An attempt that ends with an error for which [Interrupted] holds is followed by another, after a
// pause that grows and is random, or as soon as a connection with p appears. Any other error ends
// the exchange, and so does the end of ctx. An exchange that p never took part in is not begun: its
// first error is the last.
func (r Resumption) Do(
	ctx context.Context, cl *Client, p peer.ID, attempt func(ctx context.Context, goesOn func()) error) error {
	x := resumed{Resumption: r, begun: r.Begun}
	for {
		err := x.try(ctx, attempt)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, !x.begun, !Interrupted(err):
			return err
		}
		x.lost(err)
		cl.arrivals.Wait(ctx, p, x.pause())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Interrupted reports whether a request failed because the peer could not be reached, was lost, or
// has no time for it now, so that the same may succeed later. Any other error is a definite answer.
func Interrupted(err error) bool {
	if errors.Is(err, ErrUnreachable) {
		return true
	}
	switch CodeOf(err) {
	case CodeTimeout, CodeTooMany, CodeUnavailable:
		return true
	}
	return false
}

// resumed is an exchange under way.
type resumed struct {
	Resumption
	begun bool      // the peer took part in it
	cut   time.Time // since when it is cut, zero when it is not
	tries int       // since the peer took part in it last
}

// errSilent ends an attempt to go on that the peer does not answer.
var errSilent = Errorf(CodeTimeout, "the peer is connected, and does not go on")

// try makes one attempt. One that goes on must do so in time: the connection may be one that
// nobody has found dead yet.
func (x *resumed) try(ctx context.Context, attempt func(context.Context, func()) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var patience *time.Timer
	if x.begun {
		patience = time.AfterFunc(resumeWithin, func() { cancel(errSilent) })
		defer patience.Stop()
	}
	var once sync.Once
	err := attempt(ctx, func() {
		once.Do(func() {
			if patience != nil {
				patience.Stop()
			}
			x.goesOn()
		})
	})
	if err != nil && context.Cause(ctx) == error(errSilent) {
		return errSilent
	}
	return err
}

func (x *resumed) goesOn() {
	x.begun, x.tries = true, 0
	if x.cut.IsZero() {
		return
	}
	away := time.Since(x.cut)
	x.cut = time.Time{}
	if x.Back != nil {
		x.Back(away)
	}
}

func (x *resumed) lost(why error) {
	if !x.cut.IsZero() {
		return
	}
	x.cut = time.Now()
	if x.Cut != nil {
		x.Cut(why)
	}
}

// pause returns how long to wait for the next attempt: at least half, so that many who were cut at
// once do not come back at once.
func (x *resumed) pause() time.Duration {
	d := longestPause
	if x.tries < 5 {
		d = firstPause << x.tries
	}
	x.tries++
	return d/2 + rand.N(d/2)
}
