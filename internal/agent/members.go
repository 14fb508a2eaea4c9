package agent

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/ops"
)

// askedMembers is how many members are asked for others that joined elsewhere.
const askedMembers = 3

// wanted tells whether a saved machine is one that commands are for: in a fleet a
// worker that is not thrown out, else every one.
func (c *Controller) wanted(m host.Member) bool {
	if c.fleet == nil {
		return true
	}
	known, ok := c.fleet.Known(m.Peer)
	return ok && known.Grant.Role == trust.RoleWorker && !c.fleet.Revoked(m.Peer)
}

// pickSelector picks the workers of the fleet whose labels match.
func (c *Controller) pickSelector(text string) ([]Target, error) {
	s, err := trust.ParseSelector(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	out := c.pickMembers(func(m host.Member) bool { return s.Match(m.Labels) })
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no worker of the fleet has the labels %s. See: swarm members", ErrSelection, text)
	}
	return out, nil
}

// learnMembers asks a few members for others, which may have joined elsewhere, and
// tells of the workers among them.
func (c *Controller) learnMembers(ctx context.Context, wait time.Duration, tell func(Target)) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var asked sync.WaitGroup
	everyone := func(host.Member) bool { return true }
	some := c.pickMembers(everyone)
	for _, t := range some[:min(askedMembers, len(some))] {
		asked.Go(func() {
			if _, err := c.Node.LearnMembers(ctx, t.Peer); err != nil {
				c.log.Debug("a member did not tell of others", "peer", t.Peer, "err", err)
			}
		})
	}
	asked.Wait()
	for _, t := range c.pickMembers(everyone) {
		tell(t)
	}
}

// poll asks for stats again and again, for a command that is no subscriber:
// pubsub keeps one stream for each peer ID, and several processes share this one.
func (c *Controller) poll(ctx context.Context, targets []Target, all bool) iter.Seq2[Pushed, error] {
	return func(yield func(Pushed, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var polls sync.WaitGroup
		defer polls.Wait()
		defer cancel()
		out := make(chan Pushed)
		seen := make(map[peer.ID]bool)
		add := func(t Target) {
			if !seen[t.Peer] {
				seen[t.Peer] = true
				polls.Go(func() { c.pollOne(ctx, t, out) })
			}
		}
		for _, t := range targets {
			add(t)
		}
		if all {
			polls.Go(func() { c.followBook(ctx, bookEvery, add) })
		}
		for {
			select {
			case <-ctx.Done():
				return
			case p := <-out:
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

func (c *Controller) pollOne(ctx context.Context, t Target, out chan<- Pushed) {
	tick := time.NewTicker(DefaultStatsEvery)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, DefaultStatsEvery)
		stats, err := ops.GetStats.Do(asked, c.Node.Client, t.Peer, ops.StatsRequest{})
		cancel()
		if err != nil {
			c.log.Debug("no stats", "peer", t.Peer, "err", err)
		} else {
			select {
			case out <- Pushed{t, time.Now(), stats}:
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
