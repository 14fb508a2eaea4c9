package host

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// ProtectTag is for apps to protect peers with, by ConnManager().Protect, whose connections are never given up.
const ProtectTag = "swarm-protected"

const (
	quietEvery = time.Minute
	// quietAge is how old a connection has to be to be given up: before, it may have been made for something.
	quietAge = 2 * time.Minute
)

// keepQuiet gives up connections that nobody needs, until ctx ends. The DHT dials everybody it hears of, and every connection
// costs its keepalives: a fleet of twenty would become a full mesh. A node ends only what it has dialled itself, so that the
// two ends never disagree, and stays with as many as it wants of those found.
func (h *Host) keepQuiet(ctx context.Context) {
	if h.cfg.NoListen {
		return
	}
	tick := time.NewTicker(quietEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range h.dispensable(now) {
				h.log.Debug("a connection is not needed", "peer", c.RemotePeer())
				c.CloseWithError(h.cfg.IdleCode)
			}
		}
	}
}

// dispensable are connections that can go: the second one to a peer, and those beyond what is wanted.
func (h *Host) dispensable(now time.Time) (out []network.Conn) {
	var ours []network.Conn // that could be given up
	peers := h.Network().Peers()
	wanted := max(h.cfg.Connections, 0)
	for _, p := range peers {
		conns := h.Network().ConnsToPeer(p)
		if len(conns) == 1 && h.idle(conns[0], now) && !h.needed(p) {
			ours = append(ours, conns[0])
		}
		if c := h.second(conns, now); c != nil {
			out = append(out, c)
		}
	}
	// Each node has an order of its own, so that the connections that stay hold the fleet together.
	slices.SortFunc(ours, func(a, b network.Conn) int {
		return cmp.Compare(h.affinity(a.RemotePeer()), h.affinity(b.RemotePeer()))
	})
	surplus := min(max(len(peers)-wanted, 0), len(ours))
	return append(out, ours[:surplus]...)
}

// needed tells whether a connection to p is to stay. The DHT protects nearly everybody, which is of no use here.
func (h *Host) needed(p peer.ID) bool {
	return slices.ContainsFunc([]string{keptTag, relayTag, ProtectTag}, func(tag string) bool { return h.ConnManager().IsProtected(p, tag) })
}

// idle tells whether this node dialled c some time ago and nothing is under way on it.
func (h *Host) idle(c network.Conn, now time.Time) bool {
	s := c.Stat()
	return s.Direction == network.DirOutbound && now.Sub(s.Opened) > quietAge && !h.busy(c)
}

// second returns the connection to give up where two nodes have dialled each other: that of the one with the greater ID.
// Controllers have several processes, to each of which a connection leads.
func (h *Host) second(conns []network.Conn, now time.Time) network.Conn {
	if len(conns) != 2 || conns[0].Stat().Direction == conns[1].Stat().Direction {
		return nil
	}
	p := conns[0].RemotePeer()
	m, ok := h.book.Get(p)
	if !ok || m.Role != roleWorker && m.Role != roleRelay || h.ID() < p || PathOf(conns[0]) != PathOf(conns[1]) {
		return nil
	}
	i := slices.IndexFunc(conns, func(c network.Conn) bool { return h.idle(c, now) })
	if i < 0 {
		return nil
	}
	return conns[i]
}

// affinity is a number for a peer that is another one for each node.
func (h *Host) affinity(p peer.ID) uint64 {
	sum := fnv.New64a()
	sum.Write([]byte(h.ID()))
	sum.Write([]byte(p))
	return sum.Sum64()
}
