package keep

// A repair of github.com/libp2p/go-libp2p-kad-dht v0.42.2: it dials every peer it hears of, and
// protects most of them from the connection manager. Upstream:
// https://github.com/libp2p/go-libp2p-kad-dht/pull/634,
// https://github.com/libp2p/go-libp2p-kad-dht/issues/283. The file may go when the DHT closes the
// connections that it has opened for a question.

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	quietEvery = time.Minute
	// quietAge is how old a connection has to be to be given up: before, it may have been made for
	// something.
	quietAge = 2 * time.Minute
)

// Quiet gives up connections that are not needed. The DHT dials every peer it hears of, and every
// connection costs its keepalives: a fleet of twenty would become a full mesh. A node ends only what
// it has dialled itself, so that the two ends never disagree.
type Quiet struct {
	host corehost.Host
	cfg  QuietConfig
}

// QuietConfig says what to keep.
type QuietConfig struct {
	// Connections is with how many peers to stay connected.
	Connections int
	// Needed reports whether a connection to a peer is to stay in any case.
	Needed func(peer.ID) bool
	// Busy reports whether a connection is in use.
	Busy func(network.Conn) bool
	// OneProcess reports whether all connections to a peer lead to one process, so that a second one
	// is of no use. A controller has several processes.
	OneProcess func(peer.ID) bool
	// Code is what connections are closed with.
	Code   network.ConnErrorCode
	Logger *slog.Logger
}

// NewQuiet returns a Quiet for the connections of h.
func NewQuiet(h corehost.Host, cfg QuietConfig) *Quiet { return &Quiet{h, cfg} }

// Run looks every minute, until ctx ends.
func (q *Quiet) Run(ctx context.Context) error {
	tick := time.NewTicker(quietEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, c := range q.dispensable(now) {
				q.cfg.Logger.Debug("a connection is not needed", "peer", c.RemotePeer())
				c.CloseWithError(q.cfg.Code)
			}
		}
	}
}

// dispensable are connections that can go: the second one to a peer, and those beyond what is wanted.
func (q *Quiet) dispensable(now time.Time) (out []network.Conn) {
	var ours []network.Conn // that could be given up
	peers := q.host.Network().Peers()
	for _, p := range peers {
		conns := q.host.Network().ConnsToPeer(p)
		if len(conns) == 1 && q.idle(conns[0], now) && !q.cfg.Needed(p) {
			ours = append(ours, conns[0])
		}
		if c := q.second(conns, now); c != nil {
			out = append(out, c)
		}
	}
	// Each node has an order of its own, so that the connections that stay hold the fleet together.
	self := q.host.ID()
	slices.SortFunc(ours, func(a, b network.Conn) int {
		return cmp.Compare(route.Affinity(self, a.RemotePeer()), route.Affinity(self, b.RemotePeer()))
	})
	surplus := min(max(len(peers)-max(q.cfg.Connections, 0), 0), len(ours))
	return append(out, ours[:surplus]...)
}

// idle reports whether this node dialled c some time ago and nothing is under way on it.
func (q *Quiet) idle(c network.Conn, now time.Time) bool {
	s := c.Stat()
	return s.Direction == network.DirOutbound && now.Sub(s.Opened) > quietAge && !q.cfg.Busy(c)
}

// second returns the connection to give up where two nodes have dialled each other: the one dialled
// by the node with the greater ID.
func (q *Quiet) second(conns []network.Conn, now time.Time) network.Conn {
	if len(conns) != 2 || conns[0].Stat().Direction == conns[1].Stat().Direction {
		return nil
	}
	p := conns[0].RemotePeer()
	if q.host.ID() < p || !q.cfg.OneProcess(p) || route.Of(conns[0]) != route.Of(conns[1]) {
		return nil
	}
	i := slices.IndexFunc(conns, func(c network.Conn) bool { return q.idle(c, now) })
	if i < 0 {
		return nil
	}
	return conns[i]
}
