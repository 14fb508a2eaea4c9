package host

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	interfacesEvery = time.Second     // between two looks
	libraryLag      = 2 * time.Minute // after a change: by then the library knows, too
)

// NetworkChanged is emitted on a host's event bus when the machine has lost or got IP addresses: a laptop is carried into
// another network, a lease ends, a link is up again. Connections from a lost address are dead, and nobody says so.
type NetworkChanged struct {
	Lost, Got []netip.Addr
}

// interfaces are the machine's own IP addresses. The library (go-libp2p v0.51) keeps what it knows of them for a minute, so a
// machine that moved told others for that long where it had been.
type interfaces struct {
	mu   sync.Mutex
	now  map[netip.Addr]time.Time // since when; zero for those that were there at first
	lost map[netip.Addr]time.Time // lately
}

// see notes the machine's addresses, and returns what has changed.
func (i *interfaces) see(addrs []netip.Addr, at time.Time) (changed NetworkChanged) {
	i.mu.Lock()
	defer i.mu.Unlock()
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
	return changed
}

// correct takes the addresses that were lost lately out of those that the library knows of, and adds those that were got lately,
// where the node listens on all that the machine has.
func (i *interfaces) correct(known []multiaddr.Multiaddr, listening func() []multiaddr.Multiaddr, at time.Time) []multiaddr.Multiaddr {
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
		ip, err := manet.ToIP(m)
		if err != nil || isCircuit(m) {
			return false
		}
		a, _ := netip.AddrFromSlice(ip)
		return !i.lost[a.Unmap()].IsZero()
	})
	if len(got) > 0 {
		all := slices.DeleteFunc(slices.Clone(listening()), func(m multiaddr.Multiaddr) bool { return !manet.IsIPUnspecified(m) })
		resolved, _ := manet.ResolveUnspecifiedAddresses(all, got) // an error says that there are none
		for _, m := range resolved {
			if !multiaddr.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// watchInterfaces follows the machine's addresses until ctx ends. A node that is told at which addresses to listen, and at no
// others, is on a machine that stays where it is, or in a simulated network.
func (h *Host) watchInterfaces(ctx context.Context) {
	if len(h.cfg.Listen) > 0 && !h.cfg.NoListen && !slices.ContainsFunc(h.cfg.Listen, manet.IsIPUnspecified) {
		return
	}
	changes, err := h.EventBus().Emitter(new(NetworkChanged))
	if err != nil {
		h.log.Error("changes of the network go unseen", "err", err)
		return
	}
	defer changes.Close()
	tick := time.NewTicker(interfacesEvery)
	defer tick.Stop()
	for {
		if addrs, err := ownAddrs(); err == nil {
			h.networkIs(addrs, changes)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// networkIs acts on the machine's addresses.
func (h *Host) networkIs(addrs []netip.Addr, changes event.Emitter) {
	c := h.interfaces.see(addrs, time.Now())
	if len(c.Lost)+len(c.Got) == 0 {
		return
	}
	h.log.Info("the addresses of this machine have changed", "lost", c.Lost, "got", c.Got)
	if err := changes.Emit(c); err != nil {
		h.log.Error("a change of the network goes unseen", "err", err)
	}
	h.keeper.wakeAll() // who could not be reached may be now
	h.reserved.wake()
	h.improver.wake()
}

// ownAddrs are those of the machine that others may reach.
func ownAddrs() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}
