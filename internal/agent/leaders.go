package agent

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

const (
	leadersEvery = 10 * time.Second // between looks at the address book
	leadersAsk   = 10 * time.Minute // between questions to others for new ones
	leadersAgain = time.Minute      // after a question that nobody answered
	leadersTime  = 5 * time.Second  // for one question
	leadersTried = 3
)

// leaderRoles are those by which a node is commanded and reached.
var leaderRoles = []trust.Role{trust.RoleRelay, trust.RoleController, trust.RoleIssuer}

// leaders has a node stay connected with the members that it needs: workers and relays with all
// controllers and relays, so that machines need no open port; a controller with all workers and
// relays.
type leaders struct {
	node  *node.Node
	fleet *trust.Fleet
	roles []trust.Role

	kept    map[peer.ID]struct{} // by this type
	refresh func()               // reads what other processes have written; nil where there are none
	askAt   time.Time            // when others are asked next
	asked   []peer.ID            // the last time
}

func newLeaders(n *node.Node, f *trust.Fleet, roles ...trust.Role) *leaders {
	return &leaders{node: n, fleet: f, roles: roles, kept: make(map[peer.ID]struct{})}
}

// keep begins to keep those that are known by now, and ends it for those that were revoked or of whom
// nothing is known any more.
func (l *leaders) keep() {
	for p := range l.kept {
		if _, ok := l.fleet.Known(p); !ok {
			l.forget(p)
		}
	}
	for _, saved := range l.node.Book().All() {
		m, ok := l.fleet.Known(saved.Peer)
		if !ok {
			continue
		}
		gone := l.fleet.Revoked(saved.Peer)
		l.node.Standings().Block(saved.Peer, gone)
		wanted := !gone && (slices.Contains(l.roles, m.Grant.Role) || m.Grant.MayIssue != nil) && saved.HasAddr()
		switch {
		case wanted && !l.node.Kept(saved.Peer):
			l.node.Keep(peer.AddrInfo{ID: saved.Peer})
			l.kept[saved.Peer] = struct{}{}
		case gone && l.node.Kept(saved.Peer):
			l.forget(saved.Peer)
		}
	}
}

func (l *leaders) forget(p peer.ID) {
	l.node.Forget(p)
	delete(l.kept, p)
}

// run keeps those that come to be known, until ctx ends.
func (l *leaders) run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	defer l.fleet.Notify(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	tick := time.NewTicker(leadersEvery)
	defer tick.Stop()
	for {
		if l.refresh != nil {
			l.refresh()
		}
		l.keep()
		if now := time.Now(); now.After(l.askAt) || l.news() {
			l.ask(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// worthAsking are some members that are connected: those with a right to say who is where before
// those without.
func (l *leaders) worthAsking() (out []peer.ID) {
	for _, p := range l.node.Network().Peers() {
		if l.fleet.Member(p) && l.node.Network().Connectedness(p) == network.Connected {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b peer.ID) int { return cmp.Or(l.rank(a)-l.rank(b), cmp.Compare(a, b)) })
	return out[:min(len(out), leadersTried)]
}

// rankOther is the rank of a member that leads nobody.
const rankOther = 2

// rank is the place in which a member is asked.
func (l *leaders) rank(p peer.ID) int {
	m, ok := l.fleet.Known(p)
	switch {
	case !ok:
		return rankOther + 1
	case m.Grant.Role == trust.RoleRelay:
		return 0
	case m.Grant.MayIssue != nil || m.Grant.Role == trust.RoleController:
		return 1
	}
	return rankOther
}

// news reports whether there is a leader among those worth asking who was not asked the last time:
// it may know of others.
func (l *leaders) news() bool {
	return slices.ContainsFunc(l.worthAsking(), func(p peer.ID) bool { return l.leads(p) && !slices.Contains(l.asked, p) })
}

func (l *leaders) leads(p peer.ID) bool { return l.rank(p) < rankOther }

// ask learns of others from all the leaders that are connected, or from one other member: some may
// have joined since.
func (l *leaders) ask(ctx context.Context) {
	l.askAt, l.asked = time.Now().Add(leadersAgain), nil
	answered := false
	for _, p := range l.worthAsking() {
		if answered && !l.leads(p) {
			break
		}
		ctx, cancel := context.WithTimeout(ctx, leadersTime)
		_, err := l.node.LearnMembers(ctx, p, l.roles...)
		cancel()
		l.asked = append(l.asked, p)
		if err == nil {
			// At random: a fleet that was started at once must not ask in step.
			answered, l.askAt = true, time.Now().Add(leadersAsk/2+rand.N(leadersAsk))
		}
	}
	l.keep()
}
