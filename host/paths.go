package host

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// The ways by which a peer is looked for that is silent: few, as its link may only be full.
const (
	sameAddrs  = 2 // at its IP address
	itsNames   = 2 // which may stand for another one by now
	sameRelays = 2 // through connected relays
)

// Paths finds out whether a peer that is silent over one connection is there in another way.
type Paths struct{ host *Host }

// Elsewhere reports whether the peer of c answers in another way than over c: a connection that is made
// anew to where it is, to where its names say that it is, or through a relay. What is made is closed
// again.
func (w Paths) Elsewhere(ctx context.Context, c network.Conn) bool {
	h := w.host
	p := c.RemotePeer()
	at, _ := route.IP(c.RemoteMultiaddr())
	var same, named []multiaddr.Multiaddr
	for _, a := range multiaddr.Unique(h.directAddrs(p)) {
		if names.Named(a) {
			named = append(named, a)
		} else if ip, ok := route.IP(a); ok && ip == at {
			same = append(same, a)
		}
	}
	addrs := slices.Concat(same[:min(len(same), sameAddrs)], named[:min(len(named), itsNames)])
	relays := 0
	for _, r := range h.circuits.For(p) {
		if relays < sameRelays && route.IsDirect(h.Network(), r.ID) {
			addrs = append(addrs, route.Circuit(r.ID))
			relays++
		}
	}
	return prober(h).Answers(ctx, p, addrs)
}

// Line returns what is known of the line to the next machine of a connection, which for a circuit is its
// relay: see transport.Line.
func (w Paths) Line(c network.Conn) (queued time.Duration, resent uint64, known bool) {
	if route.IsCircuit(c.RemoteMultiaddr()) {
		if c = route.Best(w.host.Network(), route.RelayOf(c.RemoteMultiaddr())); c == nil {
			return 0, 0, false
		}
	}
	return transport.Line(c)
}

// FoundDead closes a connection that does not answer, with this code. For a moment, circuits to its peer
// do not wait for its addresses.
func (w Paths) FoundDead(c network.Conn, code network.ConnErrorCode) {
	h := w.host
	h.order.Silenced(append(h.directAddrs(c.RemotePeer()), c.RemoteMultiaddr())...)
	if err := c.CloseWithError(code); err != nil {
		h.log.Debug("a dead connection was not closed", "peer", c.RemotePeer(), "err", err)
	}
}
