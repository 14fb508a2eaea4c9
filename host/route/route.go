// Package route says how an address or a connection gets to its peer: within the LAN, directly, or
// by a relay.
package route

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Path is how a connection gets to its peer.
type Path string

// The paths, the best first.
const (
	LAN    Path = "LAN"    // an address of a private network, or of this machine
	Direct Path = "direct" // a public address
	Relay  Path = "relay"  // through another member
)

// order lists the paths, the best first.
var order = []Path{LAN, Direct, Relay}

// Of returns the path of a connection.
func Of(c network.Conn) Path { return to(c.RemoteMultiaddr()) }

func to(a multiaddr.Multiaddr) Path {
	switch {
	case IsCircuit(a):
		return Relay
	case manet.IsPublicAddr(a):
		return Direct
	default:
		return LAN
	}
}

// Compare orders connections by their path, the best first.
func Compare(a, b network.Conn) int {
	return cmp.Compare(slices.Index(order, Of(a)), slices.Index(order, Of(b)))
}

// Best returns the open connection to p with the best path, or nil.
func Best(n network.Network, p peer.ID) network.Conn {
	conns := n.ConnsToPeer(p)
	if len(conns) == 0 {
		return nil
	}
	return slices.MinFunc(conns, Compare)
}

// IsDirect reports whether a connection to p goes through no relay.
func IsDirect(n network.Network, p peer.ID) bool {
	c := Best(n, p)
	return c != nil && Of(c) != Relay
}

// Busy reports whether a connection carries a stream of a protocol that the library does not begin
// anew by itself. prefix is that of the DHT's protocol.
func Busy(c network.Conn, prefix protocol.ID) bool {
	begunAnew := []string{"/meshsub/", "/floodsub/", "/ipfs/", "/libp2p/", string(prefix) + "/kad/"}
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool {
		id := string(s.Protocol())
		return id != "" && !slices.ContainsFunc(begunAnew, func(begin string) bool { return strings.HasPrefix(id, begin) })
	})
}

// Affinity is a number for a peer that differs from node to node: sorting by it gives each node an
// order of its own.
func Affinity(self, p peer.ID) uint64 {
	sum := fnv.New64a()
	sum.Write([]byte(self))
	sum.Write([]byte(p))
	return sum.Sum64()
}

// IsCircuit reports whether an address leads through a relay.
func IsCircuit(a multiaddr.Multiaddr) bool { return has(a, multiaddr.P_CIRCUIT) }

// IsQUIC reports whether an address is dialled by QUIC.
func IsQUIC(a multiaddr.Multiaddr) bool { return has(a, multiaddr.P_QUIC_V1) }

// IsWebSocket reports whether an address is dialled by WebSocket, with TLS or without.
func IsWebSocket(a multiaddr.Multiaddr) bool {
	return has(a, multiaddr.P_WS) || has(a, multiaddr.P_WSS)
}

func has(a multiaddr.Multiaddr, code int) bool {
	_, err := a.ValueForProtocol(code)
	return err == nil
}

// IP returns the IP address in a multiaddr, of a circuit that of its relay; false where there is none.
func IP(a multiaddr.Multiaddr) (netip.Addr, bool) {
	if a == nil {
		return netip.Addr{}, false
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return addr.Unmap(), ok
}

// What one owner has, as a rule: bits of an address that are its network.
const (
	net4Bits = 24
	net6Bits = 56
)

// Network returns the network that an address is in: the /24 of IPv4, the /56 of IPv6.
func Network(a netip.Addr) netip.Prefix {
	bits := net6Bits
	if a.Is4() {
		bits = net4Bits
	}
	p, _ := a.Prefix(bits) // fails for too many bits only
	return p
}

// RelayOf returns the relay of a circuit address; empty for any other address.
func RelayOf(a multiaddr.Multiaddr) peer.ID {
	before, _ := multiaddr.SplitFunc(a, func(c multiaddr.Component) bool {
		return c.Protocol().Code == multiaddr.P_CIRCUIT
	})
	if !IsCircuit(a) || len(before) == 0 {
		return ""
	}
	_, id := peer.SplitAddr(before)
	return id
}

// Circuit is the shortest address through a relay: no address of the relay itself.
func Circuit(relay peer.ID) multiaddr.Multiaddr {
	return multiaddr.StringCast("/p2p/" + relay.String() + "/p2p-circuit")
}

// SortByReach puts addresses that can be reached from far before others, and circuits behind both:
// known relays are tried in any case.
func SortByReach(addrs []multiaddr.Multiaddr) {
	slices.SortStableFunc(addrs, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(reach(a), reach(b)) })
}

func reach(a multiaddr.Multiaddr) int {
	switch {
	case IsCircuit(a):
		return 2
	case manet.IsPublicAddr(a) || madns.Matches(a):
		return 0
	case manet.IsIPLoopback(a):
		return 3
	}
	return 1
}

// MaxText is the longest text of an address that is kept, in bytes.
const MaxText = 256

// Legible reports whether an address can be kept as text: a DNS name in it may hold any bytes.
func Legible(a multiaddr.Multiaddr) bool {
	text := a.String()
	return len(text) <= MaxText && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
