package host

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	relaysTried = 4
	// relayDelay is the head start of the peer's own addresses.
	relayDelay = 250 * time.Millisecond
	relayRetry = 500 * time.Millisecond // while the peer's own addresses have not answered
)

// dialAll dials a peer at its addresses and, a little later, by way of every relay that is known: a peer behind a NAT
// need not have told anybody which relay it uses. It returns no error when one of the ways was good.
func (h *Host) dialAll(ctx context.Context, p peer.AddrInfo) []error {
	relays := h.relaysFor(p)
	own := slices.ContainsFunc(slices.Concat(p.Addrs, h.Peerstore().Addrs(p.ID)), func(a multiaddr.Multiaddr) bool { return !isCircuit(a) })
	ctx, cancel := context.WithCancel(ctx)
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()

	results := make(chan error, len(relays)+1)
	again, enough := context.WithCancel(ctx) // ends when only relays are left to try
	if own || len(relays) == 0 {
		dials.Go(func() {
			results <- h.Host.Connect(ctx, p)
			enough()
		})
	} else {
		results <- nil // counted, and not connected by it
		enough()
	}
	for _, r := range relays {
		dials.Go(func() {
			if own && !wait(again, relayDelay) && ctx.Err() != nil {
				results <- ctx.Err()
				return
			}
			var err error
			for i, circuit := range circuitsBy(r) {
				if i > 0 && !wait(again, relayRetry) {
					break
				}
				if err = h.dialBy(ctx, r, circuit, p.ID); err == nil {
					break
				}
			}
			results <- err
		})
	}
	var errs []error
	for range len(relays) + 1 {
		err := <-results
		if h.Network().Connectedness(p.ID) == network.Connected {
			return nil
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// relaysFor are the relays to go by: those that the peer's own addresses name, and those that are known.
func (h *Host) relaysFor(p peer.AddrInfo) []peer.AddrInfo {
	out := h.knownRelays(p.ID)
	for _, a := range slices.Concat(p.Addrs, h.Peerstore().Addrs(p.ID)) {
		id := RelayOf(a)
		if id == "" || id == h.ID() || len(out) >= 2*relaysTried {
			continue
		}
		i := slices.IndexFunc(out, func(o peer.AddrInfo) bool { return o.ID == id })
		if i < 0 {
			i, out = len(out), append(out, peer.AddrInfo{ID: id})
		}
		if at, _ := multiaddr.SplitFunc(a, func(c multiaddr.Component) bool { return c.Protocol().Code == multiaddr.P_P2P }); len(at) > 0 && !multiaddr.Contains(out[i].Addrs, at) {
			out[i].Addrs = append(slices.Clip(out[i].Addrs), at)
		}
	}
	return out
}

// dialBy connects with the relay, and by way of it with the peer.
func (h *Host) dialBy(ctx context.Context, relay peer.AddrInfo, circuit multiaddr.Multiaddr, p peer.ID) error {
	if err := h.reachRelay(ctx, relay); err != nil {
		return err
	}
	h.clearBackoff(p)
	return h.Host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: []multiaddr.Multiaddr{circuit}})
}

// circuitsBy are ways to write the one address by way of a relay. The peer may be just about to come there, so it is worth
// several attempts; and while it is dialled in another way, too, the library tries no address twice.
func circuitsBy(relay peer.AddrInfo) []multiaddr.Multiaddr {
	circuit := multiaddr.StringCast("/p2p/" + relay.ID.String() + circuitSuffix)
	out := []multiaddr.Multiaddr{circuit}
	for _, a := range relay.Addrs {
		if !isCircuit(a) {
			out = append(out, a.Encapsulate(circuit))
		}
	}
	return out
}

// reachRelay connects with a relay, which takes members only and needs to know that we are one.
func (h *Host) reachRelay(ctx context.Context, relay peer.AddrInfo) error {
	if m, ok := h.book.Get(relay.ID); ok {
		relay.Addrs = slices.Concat(relay.Addrs, m.AddrInfo().Addrs)
	}
	h.order.relays.add(relay.Addrs...)
	if err := h.Host.Connect(ctx, relay); err != nil || h.cfg.Admit == nil {
		return err
	}
	for _, c := range h.Network().ConnsToPeer(relay.ID) {
		if err := h.cfg.Admit(ctx, c, false); err != nil {
			return err
		}
	}
	return nil
}

// knownRelays are a few relays by which p may be reached: connected ones first, then saved ones and, where there are no members,
// whoever else says that it is one. None for a relay, which has no place with another one.
func (h *Host) knownRelays(p peer.ID) []peer.AddrInfo {
	if h.savedRelay(p) {
		return nil
	}
	var out []peer.AddrInfo
	add := func(info peer.AddrInfo) {
		if info.ID != p && info.ID != h.ID() && !slices.ContainsFunc(out, func(o peer.AddrInfo) bool { return o.ID == info.ID }) {
			out = append(out, info)
		}
	}
	connected := func(want func(peer.ID) bool) {
		for _, r := range h.Network().Peers() {
			if h.direct(r) && want(r) {
				add(h.Peerstore().PeerInfo(r))
			}
		}
	}
	connected(h.usableRelay)
	for _, m := range h.book.All() {
		if m.Role == roleRelay && !m.Hint && m.HasAddr() {
			add(m.AddrInfo())
		}
	}
	if h.cfg.Member == nil {
		connected(h.isRelay)
	}
	return out[:min(len(out), relaysTried)]
}

// savedRelay tells whether a peer is known to be a relay, also while it is away.
func (h *Host) savedRelay(p peer.ID) bool {
	m, ok := h.book.Get(p)
	return ok && m.Role == roleRelay || h.usableRelay(p)
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
