// Package backoff has pauses between attempts: growing, at random where many may fail at the same
// moment, and ended by a context.
package backoff

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a sequence of pauses, each several times as long as the one before. The zero value of all
// but First and Most is ready; it is for one goroutine.
type Backoff struct {
	// First is the first pause, Most the longest.
	First, Most time.Duration
	// Jitter is the part of each pause, from 0 to 1, of which a random share is left out.
	Jitter float64
	// Times is how many times as long each pause is; 0 means twice.
	Times int

	next time.Duration
}

// Next returns the pause before the next attempt.
func (b *Backoff) Next() time.Duration {
	d := max(b.next, b.First)
	b.next = min(time.Duration(cmp.Or(b.Times, 2))*d, b.Most)
	return Less(d, b.Jitter)
}

// Reset begins again with First, as after a success.
func (b *Backoff) Reset() { b.next = 0 }

// Less returns d less a random share of the given part of it, so that many do not act in step.
func Less(d time.Duration, part float64) time.Duration {
	if most := time.Duration(float64(d) * part); most > 0 {
		d -= rand.N(most)
	}
	return d
}

// Wait waits for d and reports false when ctx ended first. It does not wait for 0 or less.
func Wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
