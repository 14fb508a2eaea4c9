package relay

import (
	"context"
	"slices"
	"sync"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	relaysTried = 4
	// relayDelay is the head start of the peer's own addresses, nearDelay where all of them are of
	// private networks: who is in the same one answers in less.
	relayDelay = 250 * time.Millisecond
	nearDelay  = 50 * time.Millisecond
	relayRetry = 500 * time.Millisecond // while the peer's own addresses have not answered
)

// Circuits knows the relays that this node can use, and dials through them. Methods may be called
// concurrently.
type Circuits struct {
	host corehost.Host
	cfg  CircuitsConfig
}

// CircuitsConfig says which relays to use, and how.
type CircuitsConfig struct {
	Book Book
	// Trusted reports whether a peer is taken for a relay when it says that it is one.
	Trusted func(peer.ID) bool
	// Open means that there are no members: any relay is good enough to go through.
	Open bool
	// Admit, if set, waits until a relay knows that this node is a member.
	Admit func(ctx context.Context, c network.Conn, inbound bool) error
	// Connect dials a peer at all its addresses, and does not wait until it is identified; ConnectAgain
	// without a pause after failed attempts.
	Connect, ConnectAgain func(context.Context, peer.AddrInfo) error
	// Learn is called with addresses of relays.
	Learn func(...multiaddr.Multiaddr)
	// Silent reports whether a connection with the peer at this address was found dead a moment ago, so
	// that no relay waits for it.
	Silent func(multiaddr.Multiaddr) bool
}

// Book is the address book as it is needed here.
type Book interface {
	Addrs(peer.ID) []multiaddr.Multiaddr
	IsRelay(peer.ID) bool
	Relays() []peer.AddrInfo
}

// NewCircuits returns Circuits for h.
func NewCircuits(h corehost.Host, cfg CircuitsConfig) *Circuits { return &Circuits{h, cfg} }

// Claimed reports whether a connected peer says that it is a relay, which any peer may.
func (c *Circuits) Claimed(p peer.ID) bool {
	has, err := c.host.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop)
	return err == nil && len(has) > 0
}

// Usable reports whether a connected peer says that it is a relay and is trusted to be one.
func (c *Circuits) Usable(p peer.ID) bool { return c.Claimed(p) && c.cfg.Trusted(p) }

// IsRelay reports whether a peer is known to be a relay, also while it is away.
func (c *Circuits) IsRelay(p peer.ID) bool { return c.cfg.Book.IsRelay(p) || c.Usable(p) }

// Learn notes where a relay is.
func (c *Circuits) Learn(p peer.ID) {
	c.cfg.Learn(c.host.Peerstore().Addrs(p)...)
	c.cfg.Learn(c.cfg.Book.Addrs(p)...)
}

// For returns a few relays by which p may be reached: connected ones first, then saved ones and,
// where there are no members, any other that says that it is one. There are none for a relay, which
// holds no reservation with another one.
func (c *Circuits) For(p peer.ID) []peer.AddrInfo {
	if c.IsRelay(p) {
		return nil
	}
	var out []peer.AddrInfo
	add := func(info peer.AddrInfo) {
		if info.ID != p && info.ID != c.host.ID() &&
			!slices.ContainsFunc(out, func(o peer.AddrInfo) bool { return o.ID == info.ID }) {
			out = append(out, info)
		}
	}
	connected := func(want func(peer.ID) bool) {
		for _, r := range c.host.Network().Peers() {
			if route.IsDirect(c.host.Network(), r) && want(r) {
				add(c.host.Peerstore().PeerInfo(r))
			}
		}
	}
	connected(c.Usable)
	for _, r := range c.cfg.Book.Relays() {
		add(r)
	}
	if c.cfg.Open {
		connected(c.Claimed)
	}
	return out[:min(len(out), relaysTried)]
}

// Dial dials a peer at its addresses and, a little later, through every relay that is known: a peer
// behind a NAT need not have announced which relay it uses. It returns no error when one of the ways
// was good, or p has come by itself, and else one for each.
func (c *Circuits) Dial(ctx context.Context, p peer.AddrInfo) []error {
	relays := c.allFor(p)
	own, start := false, time.Duration(0)
	for _, a := range c.known(p) {
		if route.IsCircuit(a) {
			continue
		}
		own = true
		switch {
		case c.cfg.Silent(a):
		case manet.IsPublicAddr(a):
			start = relayDelay
		default:
			start = max(start, nearDelay)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()

	arrived := make(chan struct{}, 1)
	arrivals := &network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
		// What is dialled here ends with the identification of the peer.
		if conn.RemotePeer() == p.ID && conn.Stat().Direction == network.DirInbound {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	}}
	c.host.Network().Notify(arrivals)
	defer c.host.Network().StopNotify(arrivals)
	results := make(chan error, len(relays)+1)
	again, enough := context.WithCancel(ctx) // ends when only relays are left to try
	if own || len(relays) == 0 {
		dials.Go(func() {
			results <- c.cfg.ConnectAgain(ctx, p)
			enough()
		})
	} else {
		results <- nil // counted, and not connected by it
		enough()
	}
	for _, r := range relays {
		dials.Go(func() {
			if own && !backoff.Wait(again, start) && ctx.Err() != nil {
				results <- ctx.Err()
				return
			}
			results <- c.dialBy(ctx, again, r, p.ID)
		})
	}
	var errs []error
	for left := len(relays) + 1; left > 0; {
		var err error
		select {
		case err = <-results:
			left--
		case <-arrived:
		}
		if c.host.Network().Connectedness(p.ID) == network.Connected {
			return nil
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// dialBy connects with a relay, and through it with p: several times, until again ends, as p may be
// just about to come there, and so may the relay. The first time it does not wait until a relay that is
// trusted knows that this node is a member, which it most often does from an earlier connection.
func (c *Circuits) dialBy(ctx, again context.Context, relay peer.AddrInfo, p peer.ID) (err error) {
	ways := circuitsBy(relay)
	early, pause := len(ways) > 1 && c.cfg.Trusted(relay.ID), false
	for len(ways) > 0 {
		if pause && !backoff.Wait(again, relayRetry) {
			break
		}
		pause = true
		if err = c.connect(ctx, relay); err == nil && !early {
			err = c.admitted(ctx, relay.ID)
		}
		if err != nil {
			continue
		}
		err = c.cfg.ConnectAgain(ctx, peer.AddrInfo{ID: p, Addrs: ways[:1:1]})
		if err == nil {
			break
		}
		pause, early, ways = !early, false, ways[1:]
	}
	return err
}

// circuitsBy are ways to write the one address through a relay: while p is dialled in another way,
// too, the library tries no address twice.
func circuitsBy(relay peer.AddrInfo) []multiaddr.Multiaddr {
	circuit := route.Circuit(relay.ID)
	out := []multiaddr.Multiaddr{circuit}
	for _, a := range relay.Addrs {
		if !route.IsCircuit(a) {
			out = append(out, a.Encapsulate(circuit))
		}
	}
	return out
}

// allFor are the relays to go through: those that the peer's own addresses name, and those known.
func (c *Circuits) allFor(p peer.AddrInfo) []peer.AddrInfo {
	out := c.For(p.ID)
	for _, a := range c.known(p) {
		id := route.RelayOf(a)
		if id == "" || id == c.host.ID() || len(out) >= 2*relaysTried {
			continue
		}
		i := slices.IndexFunc(out, func(o peer.AddrInfo) bool { return o.ID == id })
		if i < 0 {
			i, out = len(out), append(out, peer.AddrInfo{ID: id})
		}
		isPeer := func(part multiaddr.Component) bool { return part.Protocol().Code == multiaddr.P_P2P }
		if at, _ := multiaddr.SplitFunc(a, isPeer); len(at) > 0 && !multiaddr.Contains(out[i].Addrs, at) {
			out[i].Addrs = append(slices.Clip(out[i].Addrs), at)
		}
	}
	return out
}

// known are all addresses of a peer: those given, and those that the host knows.
func (c *Circuits) known(p peer.AddrInfo) []multiaddr.Multiaddr {
	return slices.Concat(p.Addrs, c.host.Peerstore().Addrs(p.ID))
}

// Reach connects with a relay, which serves members only and needs to know that this node is one.
func (c *Circuits) Reach(ctx context.Context, relay peer.AddrInfo) error {
	if err := c.connect(ctx, relay); err != nil {
		return err
	}
	return c.admitted(ctx, relay.ID)
}

// connect connects with a relay.
func (c *Circuits) connect(ctx context.Context, relay peer.AddrInfo) error {
	relay.Addrs = slices.Concat(relay.Addrs, c.cfg.Book.Addrs(relay.ID))
	c.cfg.Learn(relay.Addrs...)
	return c.cfg.Connect(ctx, relay)
}

// admitted waits until a connected relay knows that this node is a member.
func (c *Circuits) admitted(ctx context.Context, relay peer.ID) error {
	if c.cfg.Admit == nil {
		return nil
	}
	for _, conn := range c.host.Network().ConnsToPeer(relay) {
		if err := c.cfg.Admit(ctx, conn, false); err != nil {
			return err
		}
	}
	return nil
}
