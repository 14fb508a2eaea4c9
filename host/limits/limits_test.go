package limits

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"
)

const gib = 1 << 30

// TestLimitsOfAFleet: with the default size, a thousand peers fit in every respect, and there still
// is an end.
func TestLimitsOfAFleet(t *testing.T) {
	limits := resourceLimits(1000, 16*gib).ToPartialLimitConfig()
	tests := []struct {
		name           string
		got, min, most int
	}{
		{"connections in", int(limits.System.ConnsInbound), 2000, 4000},
		{"connections out", int(limits.System.ConnsOutbound), 2000, 4000},
		{"connections of a peer", int(limits.PeerDefault.ConnsInbound), 32, 128},
		{"handshakes", int(limits.Transient.ConnsInbound), 500, 1000},
		{"streams", int(limits.System.StreamsInbound), 16_000, 64_000},
		{"streams of a peer", int(limits.PeerDefault.StreamsInbound), 1024, 2048},
		{"streams of a protocol", int(limits.ProtocolDefault.StreamsInbound), 16_000, 64_000},
		{"streams of a peer and protocol", int(limits.ProtocolPeerDefault.StreamsInbound), 129, 2048},
		{"identify", int(limits.Service[identify.ServiceName].StreamsInbound), 1000, 4000},
		{"identify protocol", int(limits.Protocol[identify.ID].StreamsInbound), 1000, 4000},
		{"memory in MiB", int(limits.System.Memory >> 20), 4096, 8192},
		{"memory of a peer in MiB", int(limits.PeerDefault.Memory >> 20), 64, 256},
	}
	for _, tt := range tests {
		if tt.got < tt.min || tt.got > tt.most {
			t.Errorf("%s: %d, want %d to %d", tt.name, tt.got, tt.min, tt.most)
		}
	}
	small := resourceLimits(1000, gib).ToPartialLimitConfig()
	if small.System.Memory > gib/2 {
		t.Errorf("on a machine with 1 GiB: memory %d, want at most half of it", small.System.Memory)
	}
}

// TestOneAddress: the whole fleet may come from one address at once, twice the fleet may stay, and
// no more; loopback is exempt.
func TestOneAddress(t *testing.T) {
	const peers = 100
	rm, err := newResourceManager(peers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	count := func(addr string) (n int) {
		a := multiaddr.StringCast(addr)
		for i := range 5 * peers {
			scope, err := rm.OpenConnection(network.DirInbound, false, a)
			if err != nil {
				return n
			}
			defer scope.Done()
			// Move it out of the handshakes' share, as a connection that succeeds does.
			if err := scope.SetPeer(peer.ID(fmt.Sprint(i))); err != nil {
				return n
			}
			n++
		}
		return n
	}
	if got := count("/ip4/198.51.100.7/tcp/1"); got < peers || got > 2*peers+64 {
		t.Errorf("%d connections from one IPv4 address, want %d to %d", got, peers, 2*peers+64)
	}
}

func TestConnRate(t *testing.T) {
	const peers = 100
	limiter := connRate(peers)
	from := netip.MustParseAddr("198.51.100.7")
	n := 0
	for limiter.Allow(from) && n < 10*peers {
		n++
	}
	if n < 2*peers || n > 3*peers+64 {
		t.Errorf("%d new connections at once from one address, want about %d", n, 2*peers+64)
	}
	for range 10 * peers {
		if !limiter.Allow(netip.MustParseAddr("127.0.0.1")) || !limiter.Allow(netip.MustParseAddr("::1")) {
			t.Fatal("loopback is limited")
		}
	}
}
