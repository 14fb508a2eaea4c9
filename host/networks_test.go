package host

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// peerNumber is a made-up peer ID.
func peerNumber(i int) peer.ID {
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0, 36, 8, 1, 18, 32}, uint64(i)))
}

func TestNetworks(t *testing.T) {
	nets := func(words ...string) (out []netip.Prefix) {
		for _, w := range words {
			out = append(out, netip.MustParsePrefix(w))
		}
		return out
	}
	const circuit = "/ip4/10.1.2.3/tcp/4747/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit"
	tests := []struct {
		name        string
		allow, deny []netip.Prefix
		addr        string
		want        bool
	}{
		{"nothing said", nil, nil, "/ip4/192.0.2.1/tcp/1", true},
		{"denied", nil, nets("192.0.2.0/24"), "/ip4/192.0.2.255/tcp/1", false},
		{"just outside", nil, nets("192.0.2.0/24"), "/ip4/192.0.3.0/tcp/1", true},
		{"allowed", nets("192.0.2.0/24"), nil, "/ip4/192.0.2.0/udp/1/quic-v1", true},
		{"not allowed", nets("192.0.2.0/24"), nil, "/ip4/192.0.1.255/tcp/1", false},
		{"denied within the allowed", nets("192.0.0.0/16"), nets("192.0.2.7/32"), "/ip4/192.0.2.7/tcp/1", false},
		{"IPv6", nets("fd00::/8"), nil, "/ip6/fd12::1/tcp/1", true},
		{"IPv4 in IPv6", nil, nets("192.0.2.0/24"), "/ip6/::ffff:192.0.2.1/tcp/1", false},
		{"a circuit is judged by its relay", nil, nets("10.0.0.0/8"), circuit, false},
		{"no IP", nets("10.0.0.0/8"), nil, "/p2p-circuit", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			n := &networks{allow: tc.allow, deny: tc.deny}
			if got := n.permits(multiaddr.StringCast(tc.addr)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// said is a connection that this node dialled, and of which the other end has told.
type said struct {
	network.Conn
	peer peer.ID
	addr string
}

func (s said) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}
}
func (s said) RemoteMultiaddr() multiaddr.Multiaddr { return multiaddr.StringCast(s.addr) }

func TestKindOfNAT(t *testing.T) {
	ours := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.168.1.7/udp/4747/quic-v1"), multiaddr.StringCast("/ip4/16.9.0.1/tcp/4747")}
	const quic, tcp, lan = "/ip4/16.1.0.10/udp/4747/quic-v1", "/ip4/16.1.0.10/tcp/4747", "/ip4/192.168.1.9/udp/4747/quic-v1"
	type observed struct{ at, seen string }
	tests := []struct {
		name string
		by   []observed
		want NAT
	}{
		{"nobody", nil, NATUnknown},
		{"one", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}}, NATUnknown},
		{"two the same", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}, {quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}}, NATCone},
		{"two others", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}, {quic, "/ip4/16.3.0.10/udp/5001/quic-v1"}}, NATSymmetric},
		{"our own address", []observed{{quic, "/ip4/16.9.0.1/udp/4747/quic-v1"}}, NATNone},
		{"TCP says nothing of it", []observed{{tcp, "/ip4/16.3.0.10/tcp/5000"}, {tcp, "/ip4/16.3.0.10/tcp/5001"}}, NATUnknown},
		{"nor does the same network", []observed{{lan, "/ip4/192.168.1.7/udp/1/quic-v1"}, {lan, "/ip4/192.168.1.7/udp/2/quic-v1"}}, NATUnknown},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var o observers
			for i, b := range tc.by {
				p := peerNumber(i)
				o.note(event.EvtPeerIdentificationCompleted{Peer: p, Conn: said{peer: p, addr: b.at}, ObservedAddr: multiaddr.StringCast(b.seen)})
			}
			if got := o.kind(func(peer.ID) bool { return true }, ours); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := o.kind(func(peer.ID) bool { return false }, ours); got != NATUnknown {
				t.Errorf("with nobody connected: %s", got)
			}
		})
	}
}
