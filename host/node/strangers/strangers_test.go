package strangers

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// A worker keeps as many strangers in a fleet of ten as in one of ten thousand.
func TestSlots(t *testing.T) {
	for _, tt := range []struct {
		role     string
		fleet    bool
		maxPeers int
		want     int
	}{
		{"worker", true, 10, 64},
		{"worker", true, 10_000, 64},
		{"controller", true, 256, 64},
		{"controller", true, 260, 65},
		{"relay", true, 10_000, 2500},
		{"worker", false, 300, 300},
	} {
		if got := Slots(tt.role, tt.fleet, tt.maxPeers); got != tt.want {
			t.Errorf("%s, fleet %v, %d peers: %d slots, want %d", tt.role, tt.fleet, tt.maxPeers, got, tt.want)
		}
	}
}

// fromAt is a connection that came from an address.
type fromAt struct {
	network.Conn
	at multiaddr.Multiaddr
}

func (c *fromAt) RemoteMultiaddr() multiaddr.Multiaddr { return c.at }
func (c *fromAt) RemotePeer() peer.ID                  { return "stranger" }
func (c *fromAt) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirInbound}}
}

// Strangers over QUIC have their share of the slots; the oldest of them gives way, and nobody over
// TCP.
func TestStrangersOverQUICHaveAShare(t *testing.T) {
	s := New(nil, trust.NewOpen().Member, true, minSlots)
	come := func(i int, format string) network.Conn {
		return s.Connected(&fromAt{at: multiaddr.StringCast(fmt.Sprintf(format, i))})
	}
	for i := range minSlots / 2 {
		if out := come(i, "/ip4/10.0.%d.1/tcp/1"); out != nil {
			t.Fatalf("%v gives way", out.RemoteMultiaddr())
		}
	}
	for i := range minSlots / quicShare {
		if out := come(i, "/ip4/10.1.%d.1/udp/1/quic-v1"); out != nil {
			t.Fatalf("%v gives way", out.RemoteMultiaddr())
		}
	}
	if out := come(1, "/ip4/10.2.%d.1/udp/1/quic-v1"); out == nil || !overQUIC(out) {
		t.Errorf("one more over QUIC: %v gives way", out)
	}
	if out := come(1, "/ip4/10.3.%d.1/tcp/1"); out != nil {
		t.Errorf("one more over TCP: %v gives way", out)
	}
}
