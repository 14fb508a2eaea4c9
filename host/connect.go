package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/transport"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// ProxyError says what became of a dial through a proxy.
type ProxyError = transport.ProxyError

// Errors of Connect that a caller can act on; ErrNoAddress and those after it are explained at their
// origin, in packages dial and names.
var (
	// ErrSelf means that the peer is this node.
	ErrSelf = dial.Errorf(nil, "that peer is this node itself")

	ErrNoAddress   = dial.ErrNoAddress
	ErrUnreachable = dial.ErrUnreachable
	ErrOtherPeer   = dial.ErrOtherPeer
	ErrTurnedAway  = dial.ErrTurnedAway
	ErrClocks      = dial.ErrClocks
	ErrDenied      = dial.ErrDenied
	ErrNoRoute     = dial.ErrNoRoute
	ErrProxy       = dial.ErrProxy
	ErrDeniedNet   = dial.ErrDeniedNet
	ErrOtherNet    = dial.ErrOtherNet
	ErrNetworkKey  = dial.ErrNetworkKey

	ErrNameServer  = names.ErrServer
	ErrUnknownName = names.ErrUnknown
)

// Connect makes sure there is a connection to a peer, dialling the addresses given and all that are
// known from discovery and the address book; when none of them answers the DHT is asked for others.
// Unlike libp2p's it dials at once even when an attempt has just failed, and its error says in one
// line what was tried and how each address failed.
func (h *Host) Connect(ctx context.Context, p peer.AddrInfo) error {
	if h.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	if err := h.Dial(ctx, p); err != nil {
		return err
	}
	if c := h.BestConn(p.ID); c != nil {
		select {
		case <-h.Host.(basicHost).IDService().IdentifyWait(c):
		case <-ctx.Done():
			return fmt.Errorf("identify %s: %w", p.ID, ctx.Err())
		}
	}
	return nil
}

// Dial is Connect, but for that it does not wait until the peer is identified.
func (h *Host) Dial(ctx context.Context, p peer.AddrInfo) error {
	err := h.dial(ctx, p)
	if h.lookup == nil || !errors.Is(err, ErrNoAddress) && !errors.Is(err, ErrUnreachable) {
		return err
	}
	tried := h.Peerstore().Addrs(p.ID)
	news := slices.DeleteFunc(h.lookup.Find(ctx, p.ID), func(a multiaddr.Multiaddr) bool {
		return multiaddr.Contains(tried, a)
	})
	if len(news) == 0 {
		return err
	}
	h.log.Debug("the dht knows other addresses of a peer", "peer", p.ID, "addrs", news)
	h.Peerstore().AddAddrs(p.ID, news, peerstore.TempAddrTTL)
	return h.dial(ctx, peer.AddrInfo{ID: p.ID})
}

// dial is Connect without the DHT: what the reconnect loop repeats has to be quiet. The addresses
// given are first-hand.
func (h *Host) dial(ctx context.Context, p peer.AddrInfo) error {
	if p.ID == h.ID() {
		return fmt.Errorf("connect to %s: %w", p.ID, ErrSelf)
	}
	if h.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	h.order.Give(p.Addrs...)
	if e, ok := h.book.Get(p.ID); ok {
		p.Addrs = slices.Concat(p.Addrs, e.AddrInfo().Addrs)
		e.Announced = nil
		h.order.Give(e.AddrInfo().Addrs...)
	}
	if len(p.Addrs) == 0 && len(h.Peerstore().Addrs(p.ID)) == 0 && len(h.circuits.For(p.ID)) == 0 {
		return dial.Errorf(ErrNoAddress, "connect to %s: %s; give one that ends in /p2p/%s, or a bootstrap peer that knows it",
			p.ID, ErrNoAddress, p.ID)
	}
	h.standings.Dialling(p.ID)
	ctx, cancel := inTime(ctx)
	defer cancel()
	err := h.explain.Explain(p.ID, h.circuits.Dial(ctx, p))
	if err != nil {
		h.standings.Failed(p.ID, err)
	}
	return err
}

// reportTime is kept of the caller's time, or a tenth where that is less, to report what was tried:
// that a deadline has passed says nothing.
const reportTime = 500 * time.Millisecond

// inTime returns a context that ends a little before ctx.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(reportTime, time.Until(end)/10)))
}

// directAddrs are the addresses of p that need no relay.
func (h *Host) directAddrs(p peer.ID) []multiaddr.Multiaddr {
	return slices.DeleteFunc(slices.Concat(h.Peerstore().Addrs(p), h.book.Addrs(p)), route.IsCircuit)
}

// BestConn returns the open connection to p with the best path, or nil.
func (h *Host) BestConn(p peer.ID) network.Conn { return route.Best(h.Network(), p) }

// How long something large waits for a path that needs no relay.
const (
	directWait = 5 * time.Second // from when the circuit was opened: a hole is punched by then, or not at all
	directPoll = 20 * time.Millisecond
)

// AwaitDirect connects with p, and where that goes over a relay waits a few seconds for the direct
// path that may be on its way: for what is large, and had better not go through the relay. It
// returns in any case; that there is only the relay is no error. It does not wait where there can be
// no such path: with a network key, as holes are punched by QUIC, which that rules out, and where the
// two have no IP version in common.
func (h *Host) AwaitDirect(ctx context.Context, p peer.ID) {
	if err := h.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		return // the sender will see it
	}
	punching := h.cfg.punches() && mayMeet(h, p)
	for {
		c := h.BestConn(p)
		if c == nil || route.Of(c) != route.Relay || !punching || time.Since(c.Stat().Opened) > directWait ||
			!backoff.Wait(ctx, directPoll) {
			return
		}
	}
}

// mayMeet reports whether there can be a path to p without a relay, as far as addresses tell.
func mayMeet(h *Host, p peer.ID) bool {
	ours, err := h.cfg.machine()
	return err != nil || reach.ShareVersion(ours, h.directAddrs(p))
}
