package keep

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

func TestFoundPeersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFoundPeers()
		name := func(i int) peer.ID { return peer.ID(fmt.Sprint(i)) }
		for i := range maxFound + 1 {
			time.Sleep(time.Millisecond)
			if first, _ := s.add(discovery.Found{AddrInfo: peer.AddrInfo{ID: name(i)}, Source: "dht"}); !first {
				t.Fatalf("peer %d is not new", i)
			}
		}
		if got := len(s.peers); got != maxFound {
			t.Errorf("%d are remembered, want %d", got, maxFound)
		}
		if s.mayDial(name(0), time.Now()) {
			t.Error("the oldest is still there")
		}
		again := discovery.Found{AddrInfo: peer.AddrInfo{ID: name(1)}, Source: "dht"}
		if first, _ := s.add(again); first {
			t.Error("the same way found the same peer, and it counts as new")
		}
		again.Source = "mdns"
		if first, _ := s.add(again); !first {
			t.Error("another way found it, and it does not count as new")
		}
	})
}

// What one way says of a peer takes the place of what it said before; what others say stays.
func TestFoundAddressesAreReplaced(t *testing.T) {
	s := newFoundPeers()
	at := func(source string, addrs ...string) (before []multiaddr.Multiaddr) {
		f := discovery.Found{AddrInfo: peer.AddrInfo{ID: "p"}, Source: source}
		for _, a := range addrs {
			f.Addrs = append(f.Addrs, multiaddr.StringCast(a))
		}
		_, before = s.add(f)
		return before
	}
	const a, b = "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"
	if got := at("mdns", a); len(got) != 0 {
		t.Errorf("at first: %v", got)
	}
	if got := at("beacon", b); len(got) != 0 {
		t.Errorf("another way: %v", got)
	}
	if got := at("mdns", a, b); len(got) != 0 {
		t.Errorf("one more address: %v", got)
	}
	if got := at("mdns", b); len(got) != 1 || got[0].String() != a {
		t.Errorf("one address less: %v", got)
	}
}

func TestFoundPeersAreNotDialledAgainAtOnce(t *testing.T) {
	s := newFoundPeers()
	s.add(discovery.Found{AddrInfo: peer.AddrInfo{ID: "p"}})
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {foundRetry - 1, false}, {foundRetry, true}} {
		if got := s.mayDial("p", now.Add(step.after)); got != step.want {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
}
