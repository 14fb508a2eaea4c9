package limits

import (
	"encoding/binary"
	"net/netip"
	"testing"

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
			n := &Networks{Allow: tc.allow, Deny: tc.deny}
			if got := n.Permits(multiaddr.StringCast(tc.addr)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
