// Package reach finds out how others get to this node: which addresses the machine has, which one a
// router forwards to it, where members have dialled it, and what kind of NAT is in between.
package reach

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
)

// NAT is what stands between this node and the Internet, as far as is known from what others have
// observed.
type NAT string

// The kinds of NAT.
const (
	Unknown   NAT = "unknown"   // fewer than two others have observed it
	None      NAT = "none"      // others see an address of this machine
	Cone      NAT = "cone"      // all others see the same port: direct connections can be made
	Symmetric NAT = "symmetric" // each other sees another port: two such nodes need a relay
)

const maxObservers = 16 // peers

// Observers are where peers outside of our networks have seen our UDP port.
type Observers struct {
	mu   sync.Mutex // guards what follows
	seen map[peer.ID]multiaddr.Multiaddr
}

// Note takes down where a peer has seen this node, on a connection that this node has dialled. It
// reports whether that is elsewhere than before.
func (o *Observers) Note(e event.EvtPeerIdentificationCompleted) (moved bool) {
	if e.ObservedAddr == nil || e.Conn.Stat().Direction != network.DirOutbound ||
		!route.IsQUIC(e.Conn.RemoteMultiaddr()) || route.Of(e.Conn) != route.Direct {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.seen[e.Peer]
	if !known && len(o.seen) >= maxObservers {
		return false
	}
	if o.seen == nil {
		o.seen = make(map[peer.ID]multiaddr.Multiaddr)
	}
	o.seen[e.Peer] = e.ObservedAddr
	return known && !before.Equal(e.ObservedAddr)
}

// Observed takes down where a peer sees this node now, as Note does.
func (o *Observers) Observed(c network.Conn, at multiaddr.Multiaddr) (moved bool) {
	return o.Note(event.EvtPeerIdentificationCompleted{Peer: c.RemotePeer(), Conn: c, ObservedAddr: at})
}

// Addrs returns where the peers that are still connected have seen this node.
func (o *Observers) Addrs(connected func(peer.ID) bool) (out []multiaddr.Multiaddr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, a := range o.seen {
		if connected(p) && !multiaddr.Contains(out, a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, multiaddr.Multiaddr.Compare)
	return out
}

// WithPorts returns the addresses at which a NAT has put this node with the ports of QUIC that it listens
// on itself. A NAT keeps the port where it is free, and that may be so towards one peer and not towards
// another: somebody else's traffic, or our own from before, has taken it.
func WithPorts(seen, listening []multiaddr.Multiaddr) (out []multiaddr.Multiaddr) {
	for _, a := range seen {
		for _, l := range listening {
			if len(a) == 0 || !route.IsQUIC(l) || route.IsCircuit(l) || l[0].Code() != a[0].Code() {
				continue
			}
			out = append(out, multiaddr.Join(a[:1], l[1:]))
		}
	}
	return out
}

// Kind judges by the peers that are still connected; ours are the addresses of this machine.
func (o *Observers) Kind(connected func(peer.ID) bool, ours []multiaddr.Multiaddr) NAT {
	o.mu.Lock()
	defer o.mu.Unlock()
	var seen []multiaddr.Multiaddr
	for p, a := range o.seen {
		if connected(p) {
			seen = append(seen, a)
		}
	}
	isOurs := func(a multiaddr.Multiaddr) bool {
		return slices.ContainsFunc(ours, func(b multiaddr.Multiaddr) bool { return sameIP(a, b) })
	}
	switch {
	case len(seen) > 0 && isOurs(seen[0]):
		return None
	case len(seen) < 2:
		return Unknown
	case slices.ContainsFunc(seen, func(a multiaddr.Multiaddr) bool { return !a.Equal(seen[0]) }):
		return Symmetric
	default:
		return Cone
	}
}

func sameIP(a, b multiaddr.Multiaddr) bool {
	x, err := manet.ToIP(a)
	y, err2 := manet.ToIP(b)
	return err == nil && err2 == nil && x.Equal(y)
}

// UDPPasses reports whether QUIC gets through to another network; nil when there was no occasion to
// see. It judges by the connections that this node has dialled. Relays, for which isRelay returns
// true, are dialled by QUIC first, so one that is connected by TCP did not answer to that; of
// others TCP says nothing.
func UDPPasses(n network.Network, isRelay func(peer.ID) bool) *bool {
	var passes *bool
	for _, c := range n.Conns() {
		if c.Stat().Direction != network.DirOutbound || route.Of(c) != route.Direct {
			continue
		}
		switch udp := route.IsQUIC(c.RemoteMultiaddr()); {
		case udp:
			return &udp
		case isRelay(c.RemotePeer()):
			passes = &udp
		}
	}
	return passes
}
