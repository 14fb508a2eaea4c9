package greet

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	clockEvery = time.Second // between two looks at the clock
	// clockStep is what a clock may go wrong by in all before it is measured anew, far below what
	// requests may be off by.
	clockStep = time.Minute
	regreets  = 16 // at once
)

// Run greets all peers again when the clock of this machine was set, until ctx ends. Requests are
// judged by the sender's clock as it was in the handshake: those of a machine that started with a
// wrong clock, which the network then put right, were refused for as long as a connection lasted.
func (g *Greeter) Run(ctx context.Context) error {
	start := time.Now()
	var clock setClock
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		if clock.seen(now.Round(0).Sub(start.Round(0)), now.Sub(start)) {
			g.log.Info("the clock of this machine was set: greeting all peers again")
			g.greetAll(ctx)
		}
	}
}

// setClock sees when a clock was set.
type setClock struct{ off time.Duration }

// seen reports whether the clock was set, of which byClock has passed while really passed has.
func (s *setClock) seen(byClock, passed time.Duration) bool {
	off := byClock - passed
	if (off - s.off).Abs() < clockStep {
		return false
	}
	s.off = off
	return true
}

// greetAll greets all peers that have been greeted.
func (g *Greeter) greetAll(ctx context.Context) {
	var all errgroup.Group
	all.SetLimit(regreets)
	for _, p := range g.Peers() {
		all.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
			defer cancel()
			if _, err := g.Again(ctx, p.Conn); err != nil {
				g.log.Debug("a peer was not greeted again", "peer", p.ID, "err", err)
			}
			return nil
		})
	}
	_ = all.Wait() // all of them return nil
}
