package host

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/route"
)

// Reach is how this node gets to others, and they to it.
type Reach struct {
	Addrs  []multiaddr.Multiaddr // those that it announces
	Public bool                  // others have dialled one of Addrs
	Relays []peer.ID             // through which others reach this node
	NAT    reach.NAT
	// UDP says whether QUIC gets through to another network; nil when there was no occasion to see.
	UDP *bool
}

// Reach returns how this node gets to others, and they to it.
func (h *Host) Reach() Reach {
	ours, err := h.Network().InterfaceListenAddresses()
	if err != nil {
		h.log.Debug("the addresses of this machine are not known", "err", err)
	}
	return Reach{
		Addrs: h.Addrs(), Relays: h.Relays(), Public: h.public.Load(),
		NAT: h.observers.Kind(func(p peer.ID) bool { return route.IsDirect(h.Network(), p) }, ours),
		UDP: reach.UDPPasses(h.Network(), h.circuits.Usable),
	}
}

// Relays returns the relays through which others reach this node.
func (h *Host) Relays() []peer.ID { return h.reserved.Relays() }

// Relayed returns how many bytes each peer has sent through this relay since it started; nil where
// this node is none.
func (h *Host) Relayed() map[peer.ID]int64 {
	if h.relay == nil {
		return nil
	}
	return h.relay.Relayed()
}

// announced makes of the addresses that the library knows of those that this node announces.
func (h *Host) announced(own []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if h.cfg.NoListen {
		return nil
	}
	own = h.interfaces.Correct(own, func() []multiaddr.Multiaddr { return h.Network().ListenAddresses() }, time.Now())
	return book.FitRecord(slices.Concat(own, h.cfg.External, h.learned.Addrs(own), h.reserved.Addrs()))
}

// Try dials each address of a peer by itself, all at a time, and hangs up again: Connect is content
// with one of them. Names are resolved first; what AllowNets, DenyNets and the Gater forbid is not
// dialled. The ways through known relays are among them.
func (h *Host) Try(ctx context.Context, p peer.ID) []dial.Tried {
	addrs := h.directAddrs(p)
	for _, r := range h.circuits.For(p) {
		addrs = append(addrs, route.Circuit(r.ID))
	}
	return prober(h).Try(ctx, p, addrs)
}

func prober(h *Host) *dial.Prober {
	return &dial.Prober{
		Network: h.Network(), Names: h.names, Explain: h.explain, Forbids: h.cfg.forbids, ReachRelay: h.circuits.Reach,
	}
}

// Forbids reports whether this node's own settings forbid to dial an address.
func (h *Host) Forbids(a multiaddr.Multiaddr, p peer.ID) bool { return h.cfg.forbids(a, p) != "" }

// PlaceInWords names an address; a circuit by its relay.
func (h *Host) PlaceInWords(a multiaddr.Multiaddr) string { return h.explain.Place(a) }

// heardSelf takes addresses at which this node is reported to be. Those of this machine are passed
// over: what it announces comes back all the time.
func (h *Host) heardSelf(source string, addrs []multiaddr.Multiaddr) {
	if h.cfg.OnSelf == nil || len(addrs) == 0 {
		return
	}
	if elsewhere := reach.Elsewhere(addrs[:min(len(addrs), book.MaxAddrs)]); len(elsewhere) > 0 {
		h.cfg.OnSelf(source, elsewhere)
	}
}
