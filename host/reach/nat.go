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

// Note takes down where a peer has seen this node, on a connection that this node has dialled.
func (o *Observers) Note(e event.EvtPeerIdentificationCompleted) {
	if e.ObservedAddr == nil || e.Conn.Stat().Direction != network.DirOutbound ||
		!route.IsQUIC(e.Conn.RemoteMultiaddr()) || route.Of(e.Conn) != route.Direct {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.seen[e.Peer]; !known && len(o.seen) >= maxObservers {
		return
	}
	if o.seen == nil {
		o.seen = make(map[peer.ID]multiaddr.Multiaddr)
	}
	o.seen[e.Peer] = e.ObservedAddr
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
