package dial

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/route"
)

// resolveTime is how long a name server may take for a name.
const resolveTime = 3 * time.Second

// Tried is an attempt at one address.
type Tried struct {
	Addr multiaddr.Multiaddr
	// Name is the address with a DNS name that Addr was resolved from; nil where there was none.
	Name multiaddr.Multiaddr
	Took time.Duration
	// Err is nil when the address answered. Where that is why, it matches ErrOtherPeer, ErrClocks,
	// ErrTurnedAway, ErrDenied, ErrProxy, ErrNoRoute, names.ErrServer or names.ErrUnknown.
	Err error
}

// Prober dials addresses one by one, which connecting does not: it is content with the first.
type Prober struct {
	Network network.Network
	Names   *names.Resolver
	// Explain puts errors in words.
	Explain *Explainer
	// Forbids returns in words why this node does not dial an address; nothing where it does.
	Forbids func(multiaddr.Multiaddr, peer.ID) string
	// ReachRelay connects with a relay.
	ReachRelay func(context.Context, peer.AddrInfo) error
}

// settle is how long the other addresses have once one has answered: a path is known then, and one
// that is silent would take all the time there is.
const settle = 700 * time.Millisecond

// heedTime is what a transport has to end with its context.
const heedTime = 100 * time.Millisecond

// errSettled ends attempts at other addresses. QUIC gives it back as their error.
var errSettled = errors.New("another address has answered")

// Try dials each of these addresses of a peer by itself, all at a time, and hangs up again. Names are
// resolved first. What is forbidden is not dialled. Once one has answered, the others have little
// time left.
func (b *Prober) Try(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) []Tried {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	enough := time.AfterFunc(time.Hour, func() { cancel(errSettled) })
	defer enough.Stop()
	var first sync.Once
	answered := func() { first.Do(func() { enough.Reset(settle) }) }
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, multiaddr.Multiaddr.Compare)
	addrs = slices.CompactFunc(addrs, multiaddr.Multiaddr.Equal)
	out := make([][]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, a := range addrs {
		dials.Go(func() { out[i] = b.resolved(ctx, a, p, answered) })
	}
	dials.Wait()
	return slices.Concat(out...)
}

// Answers reports whether p answers at one of these addresses: all are dialled at a time, what a name
// stands for as soon as that is known, and hung up at once. It returns with the first answer, or when
// ctx ends.
func (b *Prober) Answers(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dials sync.WaitGroup
	var found atomic.Bool
	var dialled sync.Map // addresses, as text: a name may stand for one of the others
	for _, a := range addrs {
		dials.Go(func() {
			known, err := b.resolve(ctx, a, p)
			if err != nil {
				return
			}
			for _, k := range known {
				if _, again := dialled.LoadOrStore(k.String(), true); again {
					continue
				}
				dials.Go(func() {
					if b.one(ctx, k, p).Err == nil {
						found.Store(true)
						cancel()
					}
				})
			}
		})
	}
	dials.Wait()
	return found.Load()
}

// resolved tries an address, or all those that its name stands for.
func (b *Prober) resolved(ctx context.Context, a multiaddr.Multiaddr, p peer.ID, answered func()) []Tried {
	start := time.Now()
	addrs, err := b.resolve(ctx, a, p)
	if err != nil {
		return []Tried{{Addr: a, Took: time.Since(start), Err: err}}
	}
	out := make([]Tried, len(addrs))
	var dials sync.WaitGroup
	for i, found := range addrs {
		dials.Go(func() {
			start := time.Now()
			out[i] = b.one(ctx, found, p)
			out[i].Took = time.Since(start)
			if out[i].Err == nil {
				answered()
			} else if context.Cause(ctx) == errSettled &&
				(errors.Is(out[i].Err, context.Canceled) || errors.Is(out[i].Err, errSettled)) {
				out[i].Err = &dialError{text: "no answer so far", cause: context.DeadlineExceeded}
			}
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
	t := transportOf(b.Network, a)
	if t == nil {
		return Tried{Addr: a, Err: errors.New("no transport for such an address")}
	}
	c, err := dialWithin(ctx, t, a, p)
	if err != nil {
		return Tried{Addr: a, Err: b.failed("", kindOf(err), err)}
	}
	c.Close()
	return Tried{Addr: a}
}

// dialWithin dials until ctx ends, also where the transport takes longer, as one does that waits for
// a relay: what comes of it then is closed.
func dialWithin(ctx context.Context, t transport.Transport, a multiaddr.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	type result struct {
		c   transport.CapableConn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := t.Dial(ctx, a, p)
		if err == nil && ctx.Err() != nil {
			c.Close()
			err = ctx.Err()
		}
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		return r.c, r.err
	case <-ctx.Done():
	}
	select { // a transport that heeds ctx says more than that it has ended
	case r := <-done:
		return r.c, r.err
	case <-time.After(heedTime):
		return nil, ctx.Err()
	}
}

// failed returns an error in the words of its usual cause.
func (b *Prober) failed(prefix string, kind, err error) error {
	if kind == nil && errors.Is(err, errNoRoute) {
		kind = ErrNoRoute
	}
	return &dialError{text: prefix + b.Explain.Words(err), kind: kind, cause: err}
}

// resolve turns an address with a name into those that can be dialled, as the library does before it
// dials; a transport alone takes no names. An address without a name stays as it is.
func (b *Prober) resolve(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) ([]multiaddr.Multiaddr, error) {
	if route.IsCircuit(a) || !b.Names.Resolves(a) {
		return []multiaddr.Multiaddr{a}, nil
	}
	if t, ok := transportOf(b.Network, a).(transport.SkipResolver); ok && t.SkipResolve(ctx, a) {
		return []multiaddr.Multiaddr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := b.Names.Resolve(ctx, p, keepName(ctx, b.Network, a))
	if err != nil && !names.Named(a) {
		return []multiaddr.Multiaddr{a}, nil // no translator is known
	}
	return addrs, err
}
