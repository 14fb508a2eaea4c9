package host_test

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

// TestHeardSelf: that this node is at an address of this machine is no news; that it is at another
// one is, also when it was dialled as somebody else.
func TestHeardSelf(t *testing.T) {
	type said struct {
		source string
		addrs  []multiaddr.Multiaddr
	}
	heard := make(chan said, 16)
	h := newHost(t, host.Config{DHT: host.DHTOff, OnSelf: func(source string, addrs []multiaddr.Multiaddr) { heard <- said{source, addrs} }})
	run(t, h)
	there := multiaddr.StringCast("/ip4/192.0.2.7/tcp/4747")
	own := append(h.Addrs(), multiaddr.StringCast("/ip4/0.0.0.0/tcp/4747"), multiaddr.StringCast("/dns4/example.org/tcp/4747"),
		multiaddr.StringCast("/p2p/"+h.ID().String()+"/p2p-circuit"))
	h.Report(peer.AddrInfo{ID: h.ID(), Addrs: own})
	h.Report(peer.AddrInfo{ID: h.ID(), Addrs: append(own, there)})
	select {
	case s := <-heard:
		if s.source != "peers" || len(s.addrs) != 1 || !s.addrs[0].Equal(there) {
			t.Errorf("heard %+v, want %s alone, by peers", s, there)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not heard within 10 s")
	}
}
