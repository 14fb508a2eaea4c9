package dial

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	resolvedMost  = 16 // addresses of one name
	resolvedDepth = 8  // names that lead to names
)

// Tried is an attempt at one address.
type Tried struct {
	Addr multiaddr.Multiaddr
	// Name is the address with a DNS name that Addr was resolved from; nil where there was none.
	Name multiaddr.Multiaddr
	Took time.Duration
	// Err is nil when the address answered. Where that is why, it matches ErrOtherPeer, ErrClocks,
	// ErrTurnedAway, ErrDenied or ErrNoRoute.
	Err error
}

// Prober dials addresses one by one, which connecting does not: it is content with the first.
type Prober struct {
	Network network.Network
	// Explain puts errors in words.
	Explain *Explainer
	// Forbids returns in words why this node does not dial an address; nothing where it does.
	Forbids func(multiaddr.Multiaddr, peer.ID) string
	// ReachRelay connects with a relay.
	ReachRelay func(context.Context, peer.AddrInfo) error
}

// Try dials each of these addresses of a peer by itself, all at a time, and hangs up again. Names are
// resolved first. What is forbidden is not dialled.
func (b *Prober) Try(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) []Tried {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, multiaddr.Multiaddr.Compare)
	addrs = slices.CompactFunc(addrs, multiaddr.Multiaddr.Equal)
	out := make([][]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, a := range addrs {
		dials.Go(func() { out[i] = b.resolved(ctx, a, p) })
	}
	dials.Wait()
	return slices.Concat(out...)
}

// resolved tries an address, or all those that its name stands for.
func (b *Prober) resolved(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) []Tried {
	start := time.Now()
	addrs, err := b.resolve(ctx, a, p)
	if err != nil {
		return []Tried{{Addr: a, Took: time.Since(start), Err: b.failed("the name is not found: ", nil, err)}}
	}
	out := make([]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, found := range addrs {
		dials.Go(func() {
			start := time.Now()
			out[i] = b.one(ctx, found, p)
			out[i].Took = time.Since(start)
			if !found.Equal(a) {
				out[i].Name = a
			}
		})
	}
	dials.Wait()
	return out
}

// one asks Forbids: a transport's Dial asks no gater.
func (b *Prober) one(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) Tried {
	if why := b.Forbids(a, p); why != "" {
		return Tried{Addr: a, Err: &dialError{text: why, kind: ErrDenied}}
	}
	if relay := route.RelayOf(a); relay != "" {
		if err := b.ReachRelay(ctx, peer.AddrInfo{ID: relay}); err != nil {
			return Tried{Addr: a, Err: b.failed("the relay itself: ", nil, err)}
		}
	}
	t := b.transport(a)
	if t == nil {
		return Tried{Addr: a, Err: errors.New("no transport for such an address")}
	}
	c, err := t.Dial(ctx, a, p)
	if err != nil {
		return Tried{Addr: a, Err: b.failed("", kindOf(err), err)}
	}
	c.Close()
	return Tried{Addr: a}
}

// failed returns an error in the words of its usual cause.
func (b *Prober) failed(prefix string, kind, err error) error {
	if kind == nil && errors.Is(err, errNoRoute) {
		kind = ErrNoRoute
	}
	return &dialError{text: prefix + b.Explain.Words(err), kind: kind}
}

// transport returns the transport that dials an address, or nil.
func (b *Prober) transport(a multiaddr.Multiaddr) transport.Transport {
	n, ok := b.Network.(interface {
		TransportForDialing(multiaddr.Multiaddr) transport.Transport
	})
	if !ok {
		return nil
	}
	return n.TransportForDialing(a)
}

// resolve turns an address with a DNS name into those that can be dialled, as the library does before
// it dials; a transport alone takes no names. An address without a name stays as it is.
func (b *Prober) resolve(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) ([]multiaddr.Multiaddr, error) {
	if route.IsCircuit(a) || !madns.Matches(a) {
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
		found, err := names.ResolveDNSComponent(ctx, b.keepName(ctx, a), resolvedMost)
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

// keepName lets a transport that needs the name later, as WebSocket does for TLS, note it in the
// address.
func (b *Prober) keepName(ctx context.Context, a multiaddr.Multiaddr) multiaddr.Multiaddr {
	if t, ok := b.transport(a).(transport.Resolver); ok {
		if named, err := t.Resolve(ctx, a); err == nil && len(named) > 0 {
			return named[0]
		}
	}
	return a
}
