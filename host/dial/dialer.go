package dial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/names"
)

const (
	mostNames = 8 // addresses of a peer with names that are resolved
	// nameFirst are the addresses that names stand for, and no others, which are dialled before all
	// others: a peer that has moved is where its name says.
	nameFirst = 2
)

// Dialer dials the IP addresses of a peer at once, and what its names stand for as soon as that is
// known. Its methods may be called concurrently.
type Dialer struct {
	Host  corehost.Host
	Names *names.Resolver
	Order *Order
}

// Connect makes sure there is a connection to a peer, dialling the addresses given and those in the
// peerstore. Its error has those of all attempts, for Explainer.Explain.
func (d *Dialer) Connect(ctx context.Context, p peer.AddrInfo) error {
	known := slices.Concat(p.Addrs, d.Host.Peerstore().Addrs(p.ID))
	named, as := d.named(ctx, known)
	if len(named) == 0 || d.Host.Network().Connectedness(p.ID) == network.Connected {
		return d.dial(ctx, p)
	}
	ctx, cancel := context.WithCancel(ctx)
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel()

	look := d.Names.Look(p.ID, named)
	results := make(chan error)
	dialling := 0
	connect := func() {
		d.learn(as.names(look.Known), p.Addrs)
		p := p
		for _, k := range look.Known {
			if k.Translated {
				p.Addrs = append(slices.Clip(p.Addrs), k.Addr)
			}
		}
		dialling++
		dials.Go(func() {
			err := d.dial(ctx, p) // which has what is known of names from d.Names
			select {
			case results <- err:
			case <-ctx.Done():
			}
		})
	}
	var errs failures
	connect()
	for tried := look.Known; dialling > 0 || look.Open; {
		select {
		case err := <-results:
			dialling--
			if err == nil {
				return nil
			}
			if !nothingToDial(err) {
				errs = append(errs, err)
			}
		case <-look.Changed:
			look.Again()
			if slices.ContainsFunc(look.Known, func(a names.Addr) bool { return !contains(tried, a) }) {
				tried = look.Known
				clearBackoff(d.Host.Network(), p.ID)
				connect()
			}
		case <-ctx.Done():
			return append(errs, append(as.errors(look.Failed), ctx.Err())...)
		}
	}
	return append(errs, as.errors(look.Failed)...)
}

// dial is the library's Connect, without the round trip until the peer is identified.
func (d *Dialer) dial(ctx context.Context, p peer.AddrInfo) error {
	d.Host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.TempAddrTTL)
	direct, _ := network.GetForceDirectDial(ctx)
	if !direct && d.Host.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	if _, err := d.Host.Network().DialPeer(ctx, p.ID); err != nil {
		return fmt.Errorf("failed to dial: %w", err)
	}
	return nil
}

// ConnectAgain is Connect without the library's pause after a failed attempt, which lasts minutes.
func (d *Dialer) ConnectAgain(ctx context.Context, p peer.AddrInfo) error {
	clearBackoff(d.Host.Network(), p.ID)
	return d.Connect(ctx, p)
}

// clearBackoff lets the next dial happen now: the library would refuse it for minutes after a
// failed one.
func clearBackoff(n network.Network, p peer.ID) {
	if n, ok := n.(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
}

// named returns the addresses that are to be resolved, at most mostNames, those with names first: not
// those that their transport takes as they are, such as circuits.
func (d *Dialer) named(ctx context.Context, addrs []multiaddr.Multiaddr) (out []multiaddr.Multiaddr, as written) {
	as = make(written)
	translated, byName := split(addrs, func(a multiaddr.Multiaddr) bool { return !names.Named(a) })
	for _, a := range slices.Concat(byName, translated) {
		if len(out) == mostNames {
			break
		}
		if !d.Names.Resolves(a) {
			continue
		}
		if t, ok := transportOf(d.Host.Network(), a).(transport.SkipResolver); ok && t.SkipResolve(ctx, a) {
			continue
		}
		if kept := keepName(ctx, d.Host.Network(), a); as[string(kept.Bytes())] == nil {
			as[string(kept.Bytes())] = a
			out = append(out, kept)
		}
	}
	return out, as
}

// written has addresses as they were before a transport put into them what it needs later: see
// keepName.
type written map[string]multiaddr.Multiaddr

func (w written) names(resolved []names.Addr) (out []names.Addr) {
	for _, r := range resolved {
		r.Name = w[string(r.Name.Bytes())]
		out = append(out, r)
	}
	return out
}

func (w written) errors(failed []names.Failure) (errs failures) {
	for _, f := range failed {
		if !names.Named(f.Name) {
			continue // what became of the address itself is told
		}
		errs = append(errs, &nameError{w[string(f.Name.Bytes())], f.Err})
	}
	return errs
}

// learn notes what resolved addresses are: as good as their name. A few that the caller did not give
// come before those that it gave, the rest after them, since they would take their turns.
func (d *Dialer) learn(resolved []names.Addr, byCaller []multiaddr.Multiaddr) {
	var first, rest []multiaddr.Multiaddr
	for _, r := range resolved {
		if d.Order.relays.has(r.Name) {
			d.Order.Relay(r.Addr)
		}
		switch {
		case !d.Order.Given(r.Name):
		case len(first) < nameFirst && !multiaddr.Contains(byCaller, r.Addr):
			first = append(first, r.Addr)
		default:
			rest = append(rest, r.Addr)
		}
	}
	given, _ := split(byCaller, d.Order.Given)
	d.Order.Give(slices.Concat(first, given, rest)...)
}

func contains(addrs []names.Addr, a names.Addr) bool {
	return slices.ContainsFunc(addrs, func(b names.Addr) bool { return a.Addr.Equal(b.Addr) })
}

// nothingToDial reports whether an attempt has failed only because no name was resolved yet.
func nothingToDial(err error) bool {
	dial, ok := errors.AsType[*swarm.DialError](err)
	return ok && len(dial.DialErrors) == 0 &&
		(errors.Is(dial.Cause, swarm.ErrNoGoodAddresses) || errors.Is(dial.Cause, swarm.ErrNoAddresses))
}

// failures are the errors of several attempts.
type failures []error

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

// nameError says why the name in an address is of no use.
type nameError struct {
	name multiaddr.Multiaddr
	err  error
}

func (e *nameError) Error() string { return e.name[0].Value() + ": " + e.err.Error() }
func (e *nameError) Unwrap() error { return e.err }

// transportOf returns the transport that dials an address, or nil.
func transportOf(n network.Network, a multiaddr.Multiaddr) transport.Transport {
	if n, ok := n.(interface {
		TransportForDialing(multiaddr.Multiaddr) transport.Transport
	}); ok {
		return n.TransportForDialing(a)
	}
	return nil
}

// keepName lets a transport that needs the name later, as WebSocket does for TLS, note it in the
// address.
func keepName(ctx context.Context, n network.Network, a multiaddr.Multiaddr) multiaddr.Multiaddr {
	if t, ok := transportOf(n, a).(transport.Resolver); ok {
		if named, err := t.Resolve(ctx, a); err == nil && len(named) > 0 {
			return named[0]
		}
	}
	return a
}
