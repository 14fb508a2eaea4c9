package agent

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/scoring"
)

// pickBest returns the n best of the saved machines, see scoring.Book.Rank.
func (ts *targets) pickBest(n int) ([]Target, error) {
	known := make(map[peer.ID]Target)
	var candidates []scoring.Candidate
	for _, t := range ts.all() {
		known[t.Peer] = t
		candidates = append(candidates, scoring.Candidate{
			Peer: t.Peer, RTT: ts.node.Peerstore().LatencyEWMA(t.Peer), Hops: ts.hops(t.Peer),
		})
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%w: no machine is saved yet. Give the address of one: --bootstrap /ip4/…/tcp/…/p2p/<peer ID>", ErrSelection)
	}
	var out []Target
	for _, id := range ts.node.Scores.Best(n, candidates) {
		out = append(out, known[id])
	}
	return out, nil
}

// hops is 1 for a machine that is connected directly, 2 by a relay, and 0 where it is not
// connected.
func (ts *targets) hops(p peer.ID) int {
	switch conn := ts.node.BestConn(p); {
	case conn == nil:
		return 0
	case route.Of(conn) == route.Relay:
		return 2
	}
	return 1
}
