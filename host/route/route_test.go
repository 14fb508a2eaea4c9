package route

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const relay = "12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd"

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		addr      string
		path      Path
		relay     string
		quic, fit bool
	}{
		{"/ip4/192.168.1.7/tcp/4747", LAN, "", false, true},
		{"/ip4/127.0.0.1/udp/4747/quic-v1", LAN, "", true, true},
		{"/ip4/8.8.8.8/udp/4747/quic-v1", Direct, "", true, true},
		{"/ip4/8.8.8.8/tcp/4747/p2p/" + relay + "/p2p-circuit", Relay, relay, false, true},
		{Circuit(must(relay)).String(), Relay, relay, false, true},
		{"/p2p-circuit", Relay, "", false, true},
		{"/dns4/" + strings.Repeat("a", MaxText-len("/dns4//tcp/1")) + "/tcp/1", Direct, "", false, true},
		{"/dns4/" + strings.Repeat("a", MaxText-len("/dns4//tcp/1")+1) + "/tcp/1", Direct, "", false, false},
		{"/dns4/münchen.example/tcp/1", Direct, "", false, false},
	} {
		a := multiaddr.StringCast(tt.addr)
		if got := to(a); got != tt.path {
			t.Errorf("%s: path %q, want %q", tt.addr, got, tt.path)
		}
		if got := RelayOf(a); got != must(tt.relay) {
			t.Errorf("%s: relay %q, want %q", tt.addr, got, tt.relay)
		}
		if IsQUIC(a) != tt.quic || Legible(a) != tt.fit || IsCircuit(a) != (tt.path == Relay) {
			t.Errorf("%s: QUIC %v, legible %v, circuit %v", tt.addr, IsQUIC(a), Legible(a), IsCircuit(a))
		}
	}
}

func TestSortByReach(t *testing.T) {
	want := []string{"/ip4/8.8.8.8/tcp/1", "/dns4/a.example/tcp/1", "/ip4/10.0.0.1/tcp/1", "/p2p/" + relay + "/p2p-circuit", "/ip4/127.0.0.1/tcp/1"}
	var addrs []multiaddr.Multiaddr
	for _, i := range []int{4, 0, 3, 2, 1} {
		addrs = append(addrs, multiaddr.StringCast(want[i]))
	}
	SortByReach(addrs)
	for i, a := range addrs {
		if a.String() != want[i] {
			t.Errorf("number %d is %s, want %s", i, a, want[i])
		}
	}
}

// must returns the peer with this ID; none for an empty text.
func must(id string) peer.ID {
	p, _ := peer.Decode(id)
	return p
}
