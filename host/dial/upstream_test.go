package dial

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// TestLibraryDialsQUICFirst fails when the library ranks as order.go does. See docs/upstream.md.
func TestLibraryDialsQUICFirst(t *testing.T) {
	ranked := swarm.DefaultDialRanker([]multiaddr.Multiaddr{
		multiaddr.StringCast("/ip4/8.8.8.8/tcp/4747"), multiaddr.StringCast("/ip4/8.8.8.8/udp/4747/quic-v1"),
	})
	if len(ranked) != 2 || !strings.Contains(ranked[0].Addr.String(), "quic") || ranked[0].Delay >= ranked[1].Delay {
		t.Errorf("the library dials %v", ranked)
	}
	if swarm.DefaultPerPeerRateLimit != 8 {
		t.Errorf("the library dials %d addresses of a peer at once: firstDials leaves two of 8 free", swarm.DefaultPerPeerRateLimit)
	}
}
