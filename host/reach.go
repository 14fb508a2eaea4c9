package host

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// NAT is what stands between this node and the Internet, as far as others have told.
type NAT string

// The kinds of NAT.
const (
	NATUnknown   NAT = "unknown"   // fewer than two others have told
	NATNone      NAT = "none"      // others see an address of this machine
	NATCone      NAT = "cone"      // all others see the same port: direct connections can be made
	NATSymmetric NAT = "symmetric" // each other sees another port: a relay is needed between two such
)

// Reach is how this node gets to others, and they to it.
type Reach struct {
	Addrs  []multiaddr.Multiaddr // what others are told
	Public bool                  // others have dialled one of Addrs
	Relays []peer.ID             // through which others reach this node
	NAT    NAT
	// UDP tells whether QUIC gets through to another network; nil when there was no occasion to see.
	UDP *bool
}

const maxObservers = 16

// observers are where others outside of our networks have seen our UDP port.
type observers struct {
	mu   sync.Mutex // guards what follows
	seen map[peer.ID]multiaddr.Multiaddr
}

// note takes down what a peer says of a connection that this node has dialled.
func (o *observers) note(e event.EvtPeerIdentificationCompleted) {
	if e.ObservedAddr == nil || e.Conn.Stat().Direction != network.DirOutbound || !isQUIC(e.Conn.RemoteMultiaddr()) || PathOf(e.Conn) != PathDirect {
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

// kind judges by what those peers said that are connected still; ours are the addresses of this machine.
func (o *observers) kind(connected func(peer.ID) bool, ours []multiaddr.Multiaddr) NAT {
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
		return NATNone
	case len(seen) < 2:
		return NATUnknown
	case slices.ContainsFunc(seen, func(a multiaddr.Multiaddr) bool { return !a.Equal(seen[0]) }):
		return NATSymmetric
	default:
		return NATCone
	}
}

func sameIP(a, b multiaddr.Multiaddr) bool {
	x, err := manet.ToIP(a)
	y, err2 := manet.ToIP(b)
	return err == nil && err2 == nil && x.Equal(y)
}

// Reach tells how this node gets to others, and they to it.
func (h *Host) Reach() Reach {
	r := Reach{Addrs: h.Addrs(), Relays: h.Relays(), Public: h.public.Load()}
	ours, err := h.Network().InterfaceListenAddresses()
	if err != nil {
		h.log.Debug("the addresses of this machine are not known", "err", err)
	}
	r.NAT = h.observers.kind(h.direct, ours)
	r.UDP = h.udpPasses()
	return r
}

// udpPasses judges by the connections that this node has dialled. Relays are dialled by QUIC first, so one that is
// connected by TCP did not answer to that; of others TCP says nothing.
func (h *Host) udpPasses() *bool {
	var passes *bool
	for _, c := range h.Network().Conns() {
		if c.Stat().Direction != network.DirOutbound || PathOf(c) != PathDirect {
			continue
		}
		switch udp := isQUIC(c.RemoteMultiaddr()); {
		case udp:
			return &udp
		case h.usableRelay(c.RemotePeer()):
			passes = &udp
		}
	}
	return passes
}

// Tried is an attempt at one address.
type Tried struct {
	Addr multiaddr.Multiaddr
	Took time.Duration
	Err  string // in words; empty when it answered
}

// Try dials each address of a peer by itself, all at a time, and hangs up again: what Connect does not tell when one
// of them is good. The ways by known relays are among them.
func (h *Host) Try(ctx context.Context, p peer.ID) []Tried {
	addrs := h.directAddrs(p)
	for _, r := range h.knownRelays(p) {
		addrs = append(addrs, multiaddr.StringCast("/p2p/"+r.ID.String()+circuitSuffix))
	}
	slices.SortFunc(addrs, multiaddr.Multiaddr.Compare)
	addrs = slices.CompactFunc(addrs, multiaddr.Multiaddr.Equal)
	out := make([]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, a := range addrs {
		dials.Go(func() {
			start := time.Now()
			out[i] = Tried{Addr: a, Err: h.tryOne(ctx, a, p)}
			out[i].Took = time.Since(start)
		})
	}
	dials.Wait()
	return out
}

func (h *Host) tryOne(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) string {
	n, ok := h.Network().(interface {
		TransportForDialing(multiaddr.Multiaddr) transport.Transport
	})
	if !ok {
		return "this network has no transports"
	}
	if relay := RelayOf(a); relay != "" {
		if err := h.reachRelay(ctx, peer.AddrInfo{ID: relay}); err != nil {
			return "the relay itself: " + h.words(err)
		}
	}
	t := n.TransportForDialing(a)
	if t == nil {
		return "no transport for such an address"
	}
	c, err := t.Dial(ctx, a, p)
	if err != nil {
		return h.words(err)
	}
	c.Close()
	return ""
}

// PlaceInWords names an address; a relay by its name.
func (h *Host) PlaceInWords(a multiaddr.Multiaddr) string { return h.placeInWords(a) }
