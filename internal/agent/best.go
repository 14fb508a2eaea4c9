package agent

import (
	"fmt"

	"github.com/seed-b490fa12/swarm/host/book"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/scoring"
)

// pickBest returns the n best of the saved machines, see scoring.Book.Rank.
func (c *Controller) pickBest(n int) ([]Target, error) {
	known := make(map[peer.ID]Target)
	var candidates []scoring.Candidate
	for _, t := range c.pickMembers(func(book.Entry) bool { return true }) {
		known[t.Peer] = t
		candidates = append(candidates, scoring.Candidate{Peer: t.Peer, RTT: scoring.RTT(c.Node.Peerstore().LatencyEWMA(t.Peer))})
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%w: no machine is saved yet. Give the address of one: --bootstrap /ip4/…/tcp/…/p2p/<peer ID>", ErrSelection)
	}
	var out []Target
	for _, id := range c.Node.Scores.Best(n, candidates) {
		out = append(out, known[id])
	}
	return out, nil
}
