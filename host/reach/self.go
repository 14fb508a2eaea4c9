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

// OwnAddrs returns the IP addresses of this machine that others may reach: not those of an interface
// whose cable is pulled, which keeps them.
func OwnAddrs() ([]netip.Addr, error) {
	all, err := machineAddrs()
	if err != nil {
		return nil, err
	}
	nics, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsGlobalUnicast() })
	for _, nic := range nics {
		if nic.Flags&net.FlagRunning != 0 {
			continue // nearly all, and what follows is a call of the system each
		}
		unplugged, err := nic.Addrs()
		if err != nil {
			continue // it has gone
		}
		out = slices.DeleteFunc(out, func(a netip.Addr) bool {
			return slices.ContainsFunc(unplugged, func(u net.Addr) bool {
				p, err := netip.ParsePrefix(u.String())
				return err == nil && p.Addr().Unmap() == a
			})
		})
	}
	return out, nil
}

// Sources returns the addresses from which this machine would send to other networks, of each IP
// version one at most. Nothing is sent.
func Sources() (out []netip.Addr) {
	// A root name server: what leads there is the default route.
	for _, far := range []string{"198.41.0.4:53", "[2001:503:ba3e::2:30]:53"} {
		conn, err := net.Dial("udp", far)
		if err != nil {
			continue // there is no way
		}
		if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			out = append(out, local.AddrPort().Addr().Unmap().WithZone(""))
		}
		conn.Close()
	}
	return out
}

// Only6 reports whether this machine has a way to other networks by IPv6, and none by IPv4.
func Only6() bool {
	ways := Sources()
	return len(ways) > 0 && !slices.ContainsFunc(ways, netip.Addr.Is4)
}

// ShareVersion reports whether a machine with our addresses and one with theirs have an IP version in
// common. Where nothing is known of theirs, they may.
func ShareVersion(ours []netip.Addr, theirs []multiaddr.Multiaddr) bool {
	known := false
	for _, a := range theirs {
		at, ok := route.IP(a)
		switch {
		case !ok:
			return true // a name
		case at.IsLoopback() || at.IsLinkLocalUnicast():
			continue
		case slices.ContainsFunc(ours, func(o netip.Addr) bool { return o.Is4() == at.Is4() }):
			return true
		}
		known = true
	}
	return !known
}
