package reach

// A repair of github.com/libp2p/go-libp2p v0.51.0: it keeps the machine's addresses for a minute,
// so a machine that moved announces for that long where it had been; no event says so. Upstream:
// https://github.com/libp2p/go-libp2p/issues/112, and the cache in
// https://github.com/libp2p/go-libp2p-swarm/pull/129. The file may go when the library follows
// changes of the interfaces and of the routes.

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	interfacesEvery = time.Second     // between two looks
	libraryLag      = 2 * time.Minute // after a change: by then the library knows, too
)

// NetworkChanged is emitted on a host's event bus when the machine has lost or got IP addresses: a
// laptop is carried into another network, a lease ends, a link is up again; or when what goes to other
// networks takes another way. Connections from a lost address, or by the former way, are dead without
// a sign of it.
type NetworkChanged struct {
	Lost, Got []netip.Addr
	// Rerouted means that what goes to other networks takes another way: from another address of this
	// machine, or by a router that has another one.
	Rerouted bool
}

// Interfaces follow the machine's own IP addresses, and the way to other networks.
type Interfaces struct {
	own     func() ([]netip.Addr, error)
	sources func() []netip.Addr

	mu   sync.Mutex               // guards what follows
	now  map[netip.Addr]time.Time // since when; zero for those that were there at first
	lost map[netip.Addr]time.Time // lately
	from []netip.Addr             // what sources returned
}

// NewInterfaces returns Interfaces that ask own for the machine's addresses, see OwnAddrs, and sources
// for those from which it sends to other networks, see Sources.
func NewInterfaces(own func() ([]netip.Addr, error), sources func() []netip.Addr) *Interfaces {
	return &Interfaces{own: own, sources: sources}
}

// see notes the machine's addresses, and those that it sends from, and returns what has changed.
func (i *Interfaces) see(addrs, from []netip.Addr, at time.Time) (changed NetworkChanged) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := i.from
	i.from = from
	if i.now == nil {
		i.now, i.lost = make(map[netip.Addr]time.Time), make(map[netip.Addr]time.Time)
		for _, a := range addrs {
			i.now[a] = time.Time{}
		}
		return changed
	}
	for a := range i.now {
		if !slices.Contains(addrs, a) {
			delete(i.now, a)
			i.lost[a] = at
			changed.Lost = append(changed.Lost, a)
		}
	}
	for _, a := range addrs {
		if _, ok := i.now[a]; !ok {
			i.now[a] = at
			delete(i.lost, a)
			changed.Got = append(changed.Got, a)
		}
	}
	for a, since := range i.lost {
		if at.Sub(since) > libraryLag {
			delete(i.lost, a)
		}
	}
	changed.Rerouted = !slices.Equal(before, from)
	return changed
}

// Correct takes the addresses that were lost lately out of those that the library knows of, and adds
// those that were got lately, where the node listens on all that the machine has.
func (i *Interfaces) Correct(
	known []multiaddr.Multiaddr, listening func() []multiaddr.Multiaddr, at time.Time,
) []multiaddr.Multiaddr {
	i.mu.Lock()
	defer i.mu.Unlock()
	var got []multiaddr.Multiaddr
	for a, since := range i.now {
		if at.Sub(since) <= libraryLag {
			if m, err := manet.FromIP(a.AsSlice()); err == nil {
				got = append(got, m)
			}
		}
	}
	if len(got) == 0 && len(i.lost) == 0 {
		return known
	}
	out := slices.DeleteFunc(slices.Clone(known), func(m multiaddr.Multiaddr) bool {
		a, ok := route.IP(m)
		return ok && !route.IsCircuit(m) && !i.lost[a].IsZero()
	})
	if len(got) > 0 {
		all := slices.DeleteFunc(slices.Clone(listening()), func(m multiaddr.Multiaddr) bool {
			return !manet.IsIPUnspecified(m)
		})
		resolved, _ := manet.ResolveUnspecifiedAddresses(all, got) // an error says that there are none
		for _, m := range resolved {
			if !multiaddr.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// Run follows the machine's addresses until ctx ends. It emits NetworkChanged on the bus, and calls
// changed after it.
func (i *Interfaces) Run(ctx context.Context, bus event.Bus, changed func(), log *slog.Logger) error {
	changes, err := bus.Emitter(new(NetworkChanged))
	if err != nil {
		return fmt.Errorf("announce changes of the network: %w", err)
	}
	defer changes.Close()
	tick := time.NewTicker(interfacesEvery)
	defer tick.Stop()
	for {
		if addrs, err := i.own(); err == nil {
			if c := i.see(addrs, i.sources(), time.Now()); len(c.Lost)+len(c.Got) > 0 || c.Rerouted {
				if len(addrs) == 0 && len(c.Lost) > 0 {
					log.Warn("this machine has lost its network", "lost", c.Lost)
				} else {
					log.Info("the network of this machine has changed", "lost", c.Lost, "got", c.Got, "rerouted", c.Rerouted)
				}
				if err := changes.Emit(c); err != nil {
					log.Error("a change of the network goes unseen", "err", err)
				}
				changed()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
