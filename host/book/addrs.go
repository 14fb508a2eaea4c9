package book

import (
	"slices"

	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/route"
)

// maxNames bounds the addresses with a DNS name that are kept although the peer was reached
// elsewhere.
const maxNames = 4

// worthKeeping are those of a peer's announced addresses that another machine may reach, those with
// the longest reach first. Addresses of the loopback are among them only when there are no others:
// then it is another program on this machine.
func worthKeeping(addrs []multiaddr.Multiaddr) (out []multiaddr.Multiaddr) {
	var here []multiaddr.Multiaddr
	for _, a := range addrs {
		switch {
		case len(a) == 0 || !route.Legible(a):
		case manet.IsIPLoopback(a):
			here = append(here, a)
		case madns.Matches(a), route.IsCircuit(a), discovery.Usable(a, false):
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return here
	}
	route.SortByReach(out)
	return out
}

// keepNames adds to the addresses where a peer was reached the names that were known before: the
// address reached is only what a name resolves to today.
func keepNames(reached, before []string) []string {
	var names []string
	for _, s := range before {
		a, err := multiaddr.NewMultiaddr(s)
		if err == nil && madns.Matches(a) && len(names) < maxNames && !slices.Contains(reached, s) {
			names = append(names, s)
		}
	}
	return slices.Concat(reached[:min(len(reached), MaxAddrs-len(names))], names)
}

// announcedBytes is how long all addresses of a node may be in its signed record: MaxRecord without
// the rest of it.
const announcedBytes = MaxRecord - 300

// FitRecord returns as many addresses as fit into a signed record that others keep, if need be
// those with the longest reach.
func FitRecord(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	const frame = 4 // bytes around each
	size := 0
	for _, a := range addrs {
		size += len(a.Bytes()) + frame
	}
	if size <= announcedBytes {
		return addrs
	}
	route.SortByReach(addrs)
	for size > announcedBytes {
		size -= len(addrs[len(addrs)-1].Bytes()) + frame
		addrs = addrs[:len(addrs)-1]
	}
	return addrs
}
