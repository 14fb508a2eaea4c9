package reach

import (
	"net"
	"net/netip"
	"slices"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// Elsewhere returns those addresses that belong to another machine. Where this node's own identity is
// reported at one of them, there may be a second machine with its key. Names are left out, and ways
// through a relay, which may lead back to this node.
func Elsewhere(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	own, err := machineAddrs()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a multiaddr.Multiaddr) bool {
		at, ok := route.IP(a)
		if !ok || route.IsCircuit(a) {
			return true
		}
		return at.IsLoopback() || at.IsUnspecified() || slices.Contains(own, at)
	})
}

// machineAddrs are all addresses of this machine, also those that no other machine may reach.
func machineAddrs() (out []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}

// OwnAddrs returns the IP addresses of this machine that others may reach.
func OwnAddrs() ([]netip.Addr, error) {
	all, err := machineAddrs()
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsGlobalUnicast() }), err
}
