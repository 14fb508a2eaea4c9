package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
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
	// Name is the address with a DNS name that Addr was resolved from; nil where there was none.
	Name multiaddr.Multiaddr
	Took time.Duration
	// Err is nil when the address answered. Where that is why, it matches ErrOtherPeer, ErrClocks, ErrTurnedAway, ErrDenied
	// or ErrNoRoute.
	Err error
}

const (
	resolvedMost  = 16 // addresses of one name
	resolvedDepth = 8  // names that lead to names
)

// Try dials each address of a peer by itself, all at a time, and hangs up again: what Connect does not tell when one
// of them is good. Names are resolved first, and what AllowNets, DenyNets and the Gater forbid is left alone. The ways by known
// relays are among them.
func (h *Host) Try(ctx context.Context, p peer.ID) []Tried {
	addrs := h.directAddrs(p)
	for _, r := range h.knownRelays(p) {
		addrs = append(addrs, multiaddr.StringCast("/p2p/"+r.ID.String()+circuitSuffix))
	}
	slices.SortFunc(addrs, multiaddr.Multiaddr.Compare)
	addrs = slices.CompactFunc(addrs, multiaddr.Multiaddr.Equal)
	out := make([][]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, a := range addrs {
		dials.Go(func() { out[i] = h.tryResolved(ctx, a, p) })
	}
	dials.Wait()
	return slices.Concat(out...)
}

// tryResolved tries an address, or all those that its name stands for.
func (h *Host) tryResolved(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) []Tried {
	start := time.Now()
	addrs, err := h.resolve(ctx, a, p)
	if err != nil {
		return []Tried{{Addr: a, Took: time.Since(start), Err: h.tryError("the name is not found: ", nil, err)}}
	}
	out := make([]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, found := range addrs {
		dials.Go(func() {
			start := time.Now()
			out[i] = h.tryOne(ctx, found, p)
			out[i].Took = time.Since(start)
			if !found.Equal(a) {
				out[i].Name = a
			}
		})
	}
	dials.Wait()
	return out
}

// transports are those of the network below.
func (h *Host) transports() (interface {
	TransportForDialing(multiaddr.Multiaddr) transport.Transport
}, bool) {
	n, ok := h.Network().(interface {
		TransportForDialing(multiaddr.Multiaddr) transport.Transport
	})
	return n, ok
}

// resolve turns an address with a DNS name into those that can be dialled, as the library does before it dials; a transport
// alone takes no names. An address without one stays as it is.
func (h *Host) resolve(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) ([]multiaddr.Multiaddr, error) {
	if isCircuit(a) || !madns.Matches(a) {
		return []multiaddr.Multiaddr{a}, nil
	}
	names := swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}
	addrs := []multiaddr.Multiaddr{a}
	if a[0].Protocol().Code == multiaddr.P_DNSADDR {
		var err error
		if addrs, err = names.ResolveDNSAddr(ctx, p, a, resolvedDepth, resolvedMost); err != nil {
			return nil, err
		}
	}
	var out []multiaddr.Multiaddr
	for _, a := range addrs {
		a, _ = peer.SplitAddr(a) // a dnsaddr names the peer, too
		found, err := names.ResolveDNSComponent(ctx, h.keepName(ctx, a), resolvedMost)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, errors.New("it stands for no address")
	}
	return out[:min(len(out), resolvedMost)], nil
}

// keepName has a transport that needs the name later, as WebSocket does for TLS, write it down in the address.
func (h *Host) keepName(ctx context.Context, a multiaddr.Multiaddr) multiaddr.Multiaddr {
	n, ok := h.transports()
	if !ok {
		return a
	}
	if t, ok := n.TransportForDialing(a).(transport.Resolver); ok {
		if named, err := t.Resolve(ctx, a); err == nil && len(named) > 0 {
			return named[0]
		}
	}
	return a
}

// tryOne asks the gater itself: a transport's Dial does not.
func (h *Host) tryOne(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) Tried {
	n, ok := h.transports()
	if !ok {
		return Tried{Addr: a, Err: errors.New("this network has no transports")}
	}
	if why := h.forbids(a, p); why != "" {
		return Tried{Addr: a, Err: &dialError{text: why, kind: ErrDenied}}
	}
	if relay := RelayOf(a); relay != "" {
		if err := h.reachRelay(ctx, peer.AddrInfo{ID: relay}); err != nil {
			return Tried{Addr: a, Err: h.tryError("the relay itself: ", nil, err)}
		}
	}
	t := n.TransportForDialing(a)
	if t == nil {
		return Tried{Addr: a, Err: errors.New("no transport for such an address")}
	}
	c, err := t.Dial(ctx, a, p)
	if err != nil {
		return Tried{Addr: a, Err: h.tryError("", kindOfFailure(err), err)}
	}
	c.Close()
	return Tried{Addr: a}
}

// tryError is an error in the words of its usual cause.
func (h *Host) tryError(prefix string, kind, err error) error {
	if kind == nil && errors.Is(err, errNoRoute) {
		kind = ErrNoRoute
	}
	return &dialError{text: prefix + h.words(err), kind: kind}
}

// forbids says in words why this node does not dial an address; nothing when it does.
func (h *Host) forbids(a multiaddr.Multiaddr, p peer.ID) string {
	gater := h.cfg.gater()
	switch {
	case !(&networks{deny: h.cfg.DenyNets}).permits(a):
		return "not tried: this machine denies that network" + h.cfg.hint(ErrDeniedNet)
	case !(&networks{allow: h.cfg.AllowNets}).permits(a):
		return "not tried: it is in none of the networks that this machine allows" + h.cfg.hint(ErrOtherNet)
	case gater != nil && !(gater.InterceptPeerDial(p) && gater.InterceptAddrDial(p, a)):
		return "not tried: this machine does not connect there"
	}
	return ""
}

// PlaceInWords names an address; a relay by its name.
func (h *Host) PlaceInWords(a multiaddr.Multiaddr) string { return h.placeInWords(a) }
