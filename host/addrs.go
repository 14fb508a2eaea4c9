package host

import (
	"cmp"
	"slices"
	"strings"

	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

const (
	maxAddrText = 256 // bytes of an address as text
	maxNames    = 4   // addresses with a DNS name that are kept although the peer was reached elsewhere
)

// reachRank puts addresses that can be reached from far before others.
func reachRank(a multiaddr.Multiaddr) int {
	switch {
	case isCircuit(a):
		return 2 // the relays that are known are tried in any case
	case manet.IsPublicAddr(a) || madns.Matches(a):
		return 0
	case manet.IsIPLoopback(a):
		return 3
	}
	return 1
}

func sortByReach(addrs []multiaddr.Multiaddr) {
	slices.SortStableFunc(addrs, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(reachRank(a), reachRank(b)) })
}

// worthTelling are those of a peer's addresses that another machine may reach, those with the longest reach first. Addresses of
// the loopback are among them only when there are no others: then it is another program on this machine.
func worthTelling(addrs []multiaddr.Multiaddr) (out []multiaddr.Multiaddr) {
	var here []multiaddr.Multiaddr
	for _, a := range addrs {
		switch {
		case len(a) == 0 || !legible(a):
		case manet.IsIPLoopback(a):
			here = append(here, a)
		case madns.Matches(a), isCircuit(a), discovery.Usable(a, false):
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return here
	}
	sortByReach(out)
	return out
}

// legible says whether an address can be kept as text: a name in it may hold any bytes.
func legible(a multiaddr.Multiaddr) bool {
	text := a.String()
	return len(text) <= maxAddrText && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// keepNames adds to the addresses where a peer was reached the names that were known before: what is reached is what a name
// stands for today.
func keepNames(reached, before []string) []string {
	var names []string
	for _, s := range before {
		if a, err := multiaddr.NewMultiaddr(s); err == nil && madns.Matches(a) && len(names) < maxNames && !slices.Contains(reached, s) {
			names = append(names, s)
		}
	}
	return slices.Concat(reached[:min(len(reached), maxAddrs-len(names))], names)
}

// announcedBytes is how long all addresses of a node may be in its signed record: MaxRecord without the rest of it.
const announcedBytes = MaxRecord - 300

// fitRecord leaves as many addresses as fit into a signed record that others keep, if need be those with the longest reach.
func fitRecord(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	const frame = 4 // bytes around each
	size := 0
	for _, a := range addrs {
		size += len(a.Bytes()) + frame
	}
	if size <= announcedBytes {
		return addrs
	}
	sortByReach(addrs)
	for size > announcedBytes {
		size -= len(addrs[len(addrs)-1].Bytes()) + frame
		addrs = addrs[:len(addrs)-1]
	}
	return addrs
}
