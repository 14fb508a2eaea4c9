// Package liveness tells slow connections from dead ones: a connection is dead when it was asked
// several times, each time waiting as long as its round trips suggest, and nothing at all arrived;
// and sooner where its peer answers in another way meanwhile.
package liveness

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	misses = 3 // in a row, until a connection is dead

	// How long the first answer may take, at least and at most. The round trip within a quick network
	// is no measure for a busy machine, and nobody waits for minutes.
	least = time.Second
	most  = 8 * time.Second
	// lossy is at least for an answer where more than a tenth of what was sent lately is known to be
	// lost: it may have to be sent several times. Of what goes to a dead machine nothing is known.
	lossy = 3 * time.Second

	// How long nothing may arrive, at least, until the peer is looked for in another way; and until a
	// connection is dead whose peer was found there. Each is more where round trips take longer.
	silent    = 150 * time.Millisecond
	overtaken = 250 * time.Millisecond
	// quickly is what the other way may take, or quickTrips of the quickest round trip where these are
	// more: a circuit is made in four. Where it takes longer the network is full or loses packets, and
	// silence tells nothing.
	quickly    = 250 * time.Millisecond
	quickTrips = 6
)

// Question is how to find out whether a connection lives.
type Question struct {
	// Ask asks the other end for anything, until its context ends; an error before that is an answer,
	// too.
	Ask func(context.Context) error
	// Elsewhere reports whether the same peer answers in another way, such as another connection that
	// it makes, until its context ends, which is soon. It is called when the connection has been silent
	// for a while, and after ever longer pauses again; nil is for no other way.
	Elsewhere func(context.Context) bool
	// Relay says that others are reached through the peer. It is looked for however many of these are
	// silent, which they are together with it.
	Relay bool
}

// Watch knows how quickly connections answer. Its methods may be called concurrently; the zero value
// is ready.
type Watch struct {
	looks, relays looks // for peers, and for relays

	mu    sync.Mutex // guards conns
	conns map[network.Conn]*roundTrips
}

// Lives reports whether the other end of c is there. It takes three answers that did not come to
// report false, and not a single byte that arrived meanwhile: on a full link the answer waits behind
// others, or was lost. Where the peer answers elsewhere, silence for twice as long as the round trips
// suggest is enough. When ctx ends, c lives.
func (w *Watch) Lives(ctx context.Context, c network.Conn, q Question) bool {
	return w.answers(ctx, c, q, misses, w.floor(c))
}

// Survives is Lives after a change of the network, which many connections do not outlive: one answer
// that does not come is enough.
func (w *Watch) Survives(ctx context.Context, c network.Conn, q Question) bool {
	return w.answers(ctx, c, q, 1, least)
}

// answers asks so often, and waits at first as long as earlier answers suggest, and for floor at least.
func (w *Watch) answers(ctx context.Context, c network.Conn, q Question, times int, floor time.Duration) bool {
	before := received(c)
	asking, found := context.WithCancelCause(ctx)
	if q.Elsewhere != nil && floor < lossy {
		var looking sync.WaitGroup
		defer looking.Wait()
		looking.Go(func() {
			if w.elsewhere(asking, c, q, before) {
				found(errOvertaken)
			}
		})
	}
	defer found(nil)
	for i := range times {
		// Each answer has twice the time of the one before: what is lost on a full link is sent again
		// after ever longer pauses.
		sent, patience := time.Now(), max(w.patience(c), floor)<<i
		attempt, cancel := context.WithTimeout(asking, patience)
		err := q.Ask(attempt)
		cancel()
		switch {
		case err == nil:
			w.answered(c, time.Since(sent))
			return true
		case context.Cause(asking) == errOvertaken:
			return received(c) != before
		case time.Since(sent) < patience, ctx.Err() != nil, c.IsClosed():
			return true
		case received(c) != before:
			w.answered(c, time.Since(sent)) // it takes at least that long
			return true
		}
	}
	return false
}

// errOvertaken ends a question to a peer that has answered elsewhere.
var errOvertaken = errors.New("the peer has answered elsewhere")

// elsewhere reports whether the peer of c answers in another way, while nothing arrives over c. It
// looks again and again, after ever longer pauses, as far as looks allows.
func (w *Watch) elsewhere(ctx context.Context, c network.Conn, q Question, before uint64) bool {
	looks := &w.looks
	if q.Relay {
		looks = &w.relays
	}
	asked, usual, quick := time.Now(), w.usual(c), max(quickly, quickTrips*w.least(c))
	for pause := max(usual, silent); wait(ctx, pause) && received(c) == before; {
		attempt, cancel := context.WithTimeout(ctx, quick)
		found, tried := looks.try(attempt, q.Elsewhere)
		cancel()
		if tried {
			pause *= 2
		}
		if found {
			if q.Relay {
				w.looks.free()
			}
			return wait(ctx, time.Until(asked.Add(max(2*usual, overtaken)))) && received(c) == before
		}
	}
	return false
}

// wait waits for d and reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// usual is by when nearly all answers over c have come, as far as that is known.
func (w *Watch) usual(c network.Conn) time.Duration {
	usual, _ := roundTrip(c)
	return max(w.patience(c), usual)
}

// least is the quickest round trip over c, and 0 where none is known.
func (w *Watch) least(c network.Conn) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.conns[c]; r != nil {
		return r.least
	}
	_, least := roundTrip(c)
	return least
}

// Heard returns a number that changes when anything arrives over c; it stays 0 where that is not
// known.
func (w *Watch) Heard(c network.Conn) uint64 { return received(c) }

// patience is how long to wait for an answer over c by earlier ones, and 0 without any.
func (w *Watch) patience(c network.Conn) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.conns[c]; r != nil {
		return min(r.timeout(), most)
	}
	return 0
}

// floor is how long to wait for an answer at least, by what c has lost since it was asked last.
func (w *Watch) floor(c network.Conn) time.Duration {
	sent, lost := Lost(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	var before roundTrips
	if r := w.conns[c]; r != nil {
		before = *r
		r.sent, r.lost = sent, lost
	}
	return leastFor(sent-before.sent, lost-min(lost, before.lost))
}

// leastFor is how long to wait at least where so many packets were sent and lost lately.
func leastFor(sent, lost uint64) time.Duration {
	if lost*10 > sent {
		return lossy
	}
	return least
}

// answered notes how long an answer took.
func (w *Watch) answered(c network.Conn, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.conns[c]
	if r == nil {
		for old := range w.conns {
			if old.IsClosed() {
				delete(w.conns, old)
			}
		}
		if w.conns == nil {
			w.conns = make(map[network.Conn]*roundTrips)
		}
		r = new(roundTrips)
		w.conns[c] = r
	}
	r.add(took)
}

// roundTrips estimates how long an answer over a connection takes, by RFC 6298, section 2.
type roundTrips struct {
	smoothed, spread time.Duration
	least            time.Duration // the quickest
	sent, lost       uint64        // packets, when it was asked last
}

func (r *roundTrips) add(took time.Duration) {
	if r.smoothed == 0 {
		r.smoothed, r.spread, r.least = took, took/2, took
		return
	}
	r.least = min(r.least, took)
	r.spread += ((r.smoothed - took).Abs() - r.spread) / 4
	r.smoothed += (took - r.smoothed) / 8
}

// timeout is by when nearly all answers have come.
func (r *roundTrips) timeout() time.Duration { return r.smoothed + 4*r.spread }
