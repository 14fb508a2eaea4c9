package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/streams"
)

// askedMembers is how many members are asked for others that joined elsewhere.
const askedMembers = 3

// askTime is how long they have to answer where a name is not known here.
const askTime = 3 * time.Second

// wanted reports whether a saved machine is one that commands for groups are for: in a fleet a
// worker that is not revoked and that a person knows of, else every one.
func (ts *targets) wanted(m book.Entry) bool {
	if ts.fleet == nil {
		return true
	}
	known, ok := ts.fleet.Known(m.Peer)
	return ok && known.Grant.Role == trust.RoleWorker && !ts.fleet.Revoked(m.Peer) && !fleetdir.Waits(known)
}

// unconfirmed counts the workers that a group leaves out until a person has looked at them: they
// were signed anew by a machine, on the word of a signer that has ended, or are about to be.
func (ts *targets) unconfirmed(s Selection) (n int) {
	if ts.fleet == nil || !s.All && s.On == "" && s.Best == 0 {
		return 0
	}
	on, err := selector.Parse(s.On)
	if err != nil {
		return 0
	}
	for _, m := range ts.fleet.Members() {
		if fleetdir.Waits(m) && m.Grant.Role == trust.RoleWorker && on.Match(m.Grant.Labels) && !ts.fleet.Revoked(m.Peer) {
			n++
		}
	}
	return n
}

// leftOut counts those whom a group leaves out. That nobody else is there is no error then.
func (ts *targets) leftOut(sum *Summary, s Selection, err error) error {
	if sum.Unconfirmed = ts.unconfirmed(s); sum.Unconfirmed > 0 && errors.Is(err, ErrSelection) {
		return nil
	}
	return err
}

// confirmed returns why a machine of a group is asked nothing after all: by what its greeting has
// brought, it waits for a person. What a greeting fails with is said by the request itself.
func (ts *targets) confirmed(ctx context.Context, s Selection, t Target, within time.Duration) error {
	if ts.fleet == nil || !s.All && s.On == "" && s.Best == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if _, err := ts.node.Greeting(ctx, t.Peer); err != nil {
		return nil
	}
	if m, ok := ts.fleet.Known(t.Peer); ok && fleetdir.Waits(m) {
		return streams.Errorf(streams.CodeForbidden,
			"not sent: the one on whose word %s is a member has ended; look at it: swarm renew %s", m.Grant.Name, m.Grant.Name)
	}
	return nil
}

// learnMembers asks a few members for others, which may have joined elsewhere, and
// reports the workers among them.
func (ts *targets) learnMembers(ctx context.Context, wait time.Duration, tell func(Target)) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var asked sync.WaitGroup
	for _, p := range ts.worthAsking() {
		asked.Go(func() {
			if _, err := ts.node.LearnMembers(ctx, p); err != nil {
				ts.log.Debug("a member did not tell of others", "peer", p, "err", err)
			}
		})
	}
	asked.Wait()
	for _, t := range ts.all() {
		tell(t)
	}
}

// worthAsking are the members likeliest to know the others: relays, then those
// who let machines in, then those seen last.
func (ts *targets) worthAsking() (out []peer.ID) {
	type candidate struct {
		peer   peer.ID
		rank   int
		seenAt int64
	}
	var all []candidate
	for _, m := range ts.node.Book().All() {
		known, ok := ts.fleet.Known(m.Peer)
		if !ok || !m.HasAddr() || m.Peer == ts.node.ID() || ts.fleet.Revoked(m.Peer) {
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

// Resolve returns the machines that are known for a selection. In a fleet another member may know a
// machine that this controller has not heard of: then it is asked. The error matches
// [ErrSelection].
func (ts *targets) Resolve(ctx context.Context, s Selection) ([]Target, error) {
	targets, err := ts.pick(s)
	if err == nil || ts.fleet == nil || !errors.Is(err, ErrSelection) {
		return targets, err
	}
	ts.learnMembers(ctx, askTime, func(Target) {})
	return ts.pick(s)
}

// reachable are the members who are worth a call: a controller's commands do not
// listen, so of those only the ones with an address.
func (ts *targets) reachable() (out []peer.ID) {
	for _, m := range ts.fleet.Members() {
		if ts.fleet.Revoked(m.Peer) {
			continue
		}
		saved, ok := ts.node.Book().Get(m.Peer)
		listens := m.Grant.Role == trust.RoleWorker || m.Grant.Role == trust.RoleRelay
		if listens || ok && saved.HasAddr() {
			out = append(out, m.Peer)
		}
	}
	return out
}
