package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// askedMembers is how many members are asked for others that joined elsewhere.
const askedMembers = 3

// askTime is how long they have to answer where a name is not known here.
const askTime = 3 * time.Second

// wanted reports whether a saved machine is one that commands for groups are for: in a fleet a
// worker that is not revoked and that a person knows of, else every one.
func (c *Controller) wanted(m book.Entry) bool {
	if c.fleet == nil {
		return true
	}
	known, ok := c.fleet.Known(m.Peer)
	return ok && known.Grant.Role == trust.RoleWorker && !c.fleet.Revoked(m.Peer) && !waits(known)
}

// waits reports whether a member waits for a person, or will once it is met: its signer has ended, or
// the one whose ticket brought it in.
func waits(m trust.Member) bool {
	return m.Grant.MayIssue == nil && (m.Err == nil && m.Unconfirmed || errors.Is(m.Err, trust.ErrSignerEnded) || errors.Is(m.Err, trust.ErrSponsorEnded))
}

// unconfirmed counts the workers that a group leaves out until a person has looked at them: they
// were signed anew by a machine, on the word of a signer that has ended, or are about to be.
func (c *Controller) unconfirmed(s Selection) (n int) {
	if c.fleet == nil || !s.All && s.On == "" && s.Best == 0 {
		return 0
	}
	on, err := trust.ParseSelector(s.On)
	if err != nil {
		return 0
	}
	for _, m := range c.fleet.Members() {
		if waits(m) && m.Grant.Role == trust.RoleWorker && on.Match(m.Grant.Labels) && !c.fleet.Revoked(m.Peer) {
			n++
		}
	}
	return n
}

// leftOut counts those whom a group leaves out. That nobody else is there is no error then.
func (c *Controller) leftOut(sum *Summary, s Selection, err error) error {
	if sum.Unconfirmed = c.unconfirmed(s); sum.Unconfirmed > 0 && errors.Is(err, ErrSelection) {
		return nil
	}
	return err
}

// confirmed returns why a machine of a group is asked nothing after all: by what its greeting has
// brought, it waits for a person. What a greeting fails with is said by the request itself.
func (c *Controller) confirmed(ctx context.Context, s Selection, t Target, within time.Duration) error {
	if c.fleet == nil || !s.All && s.On == "" && s.Best == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if _, err := c.Node.Greeting(ctx, t.Peer); err != nil {
		return nil
	}
	if m, ok := c.fleet.Known(t.Peer); ok && waits(m) {
		return streams.Errorf(streams.CodeForbidden, "not sent: the one on whose word %s is a member has ended; look at it: swarm renew %s", m.Grant.Name, m.Grant.Name)
	}
	return nil
}

// pickSelector picks the workers of the fleet whose labels match.
func (c *Controller) pickSelector(text string) ([]Target, error) {
	s, err := trust.ParseSelector(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	out := c.pickMembers(func(m book.Entry) bool { return s.Match(m.Labels) })
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
	for _, p := range c.worthAsking() {
		asked.Go(func() {
			if _, err := c.Node.LearnMembers(ctx, p); err != nil {
				c.log.Debug("a member did not tell of others", "peer", p, "err", err)
			}
		})
	}
	asked.Wait()
	for _, t := range c.pickMembers(func(book.Entry) bool { return true }) {
		tell(t)
	}
}

// worthAsking are the members likeliest to know the others: relays, then those
// who let machines in, then those seen last.
func (c *Controller) worthAsking() (out []peer.ID) {
	type candidate struct {
		peer   peer.ID
		rank   int
		seenAt int64
	}
	var all []candidate
	for _, m := range c.Node.Book().All() {
		known, ok := c.fleet.Known(m.Peer)
		if !ok || !m.HasAddr() || m.Peer == c.Node.ID() || c.fleet.Revoked(m.Peer) {
			continue
		}
		rank := 2
		switch {
		case known.Grant.Role == trust.RoleRelay:
			rank = 0
		case known.Grant.MayIssue != nil:
			rank = 1
		}
		all = append(all, candidate{m.Peer, rank, m.LastSeen})
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.seenAt, a.seenAt))
	})
	for _, m := range all[:min(len(all), askedMembers)] {
		out = append(out, m.peer)
	}
	return out
}

// pickAsking is pick for a fleet, too, where another member may know a machine that
// this controller has not heard of.
func (c *Controller) pickAsking(ctx context.Context, s Selection) ([]Target, error) {
	targets, err := c.pick(s)
	if err == nil || c.fleet == nil || !errors.Is(err, ErrSelection) {
		return targets, err
	}
	c.learnMembers(ctx, askTime, func(Target) {})
	return c.pick(s)
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
