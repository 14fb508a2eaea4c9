package agent

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

const (
	leadersEvery = 10 * time.Second // between looks at the address book
	leadersAsk   = time.Hour        // between questions to others for new ones
	leadersAgain = time.Minute      // after a question that nobody answered
	leadersTime  = 5 * time.Second  // for one question
	leadersTried = 3
)

// leaderRoles are those by which a node is commanded and reached.
var leaderRoles = []trust.Role{trust.RoleRelay, trust.RoleController, trust.RoleIssuer}

// leaders has a node stay connected with the members that it needs: workers and relays with all controllers and relays, so that
// machines need no open port; a controller with all workers and relays.
type leaders struct {
	node  *node.Node
	fleet *trust.Fleet
	roles []trust.Role

	refresh func()    // reads what other processes have written; nil where there are none
	askAt   time.Time // when others are asked next
}

func newLeaders(n *node.Node, f *trust.Fleet, roles ...trust.Role) *leaders {
	return &leaders{node: n, fleet: f, roles: roles}
}

// keep begins to keep those that are known by now, and ends it for those that were thrown out.
func (l *leaders) keep() {
	for _, saved := range l.node.Book().All() {
		m, ok := l.fleet.Known(saved.Peer)
		if !ok {
			continue
		}
		gone := l.fleet.Revoked(saved.Peer)
		l.node.Blocked(saved.Peer, gone)
		wanted := !gone && (slices.Contains(l.roles, m.Grant.Role) || m.Grant.MayIssue != nil) && len(saved.Addrs) > 0
		switch {
		case wanted && !l.node.Kept(saved.Peer):
			l.node.Keep(peer.AddrInfo{ID: saved.Peer})
		case gone && l.node.Kept(saved.Peer):
			l.node.Forget(saved.Peer)
		}
	}
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
		if time.Now().After(l.askAt) {
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

// ask learns of others from a few members that are connected: some may have joined since.
func (l *leaders) ask(ctx context.Context) {
	l.askAt = time.Now().Add(leadersAgain)
	asked := 0
	for _, p := range l.node.Network().Peers() {
		if asked == leadersTried || !l.fleet.Member(p) || l.node.Network().Connectedness(p) != network.Connected {
			continue
		}
		asked++
		ctx, cancel := context.WithTimeout(ctx, leadersTime)
		_, err := l.node.LearnMembers(ctx, p, l.roles...)
		cancel()
		if err == nil {
			l.askAt = time.Now().Add(leadersAsk)
			l.keep()
			return
		}
	}
}
