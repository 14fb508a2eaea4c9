package host

import (
	"context"
	"fmt"
	"iter"
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
		if got := len(s.list()); got != maxFound {
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

func TestSightingsAreBounded(t *testing.T) {
	var s sightings
	for i := range maxFound + 1 {
		s.add(peer.ID(fmt.Sprint(i)), sighting{})
	}
	s.add("0", sighting{addrs: []string{"/ip4/192.0.2.1/tcp/1"}, how: asMember})
	s.add("0", sighting{how: onlySaved}) // as when it is gone: the rest stays
	got := s.take()
	if len(got) != maxFound || got["0"].how != asMember || len(got["0"].addrs) != 1 {
		t.Errorf("%d sightings, the first is %+v", len(got), got["0"])
	}
	if len(s.take()) != 0 {
		t.Error("taken twice")
	}
}

// TestOnlyAFewConnections: a worker dials peers that discovery finds until it has the connections it wants, and remembers
// the others.
func TestOnlyAFewConnections(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var friends []*node
		for i := range 6 {
			n := w.node(10+i, func(c *Config) { c.Connections = -1 })
			defer n.stop()
			friends = append(friends, n)
		}
		const want = 3
		worker := w.node(1, func(c *Config) { c.Connections = want })
		defer worker.stop()
		for _, f := range friends {
			worker.follow(t.Context(), once{discovery.Found{AddrInfo: f.info(), Source: "test"}})
		}
		time.Sleep(time.Minute)
		if got := len(worker.Network().Peers()); got != want {
			t.Errorf("%d connections, want %d", got, want)
		}
		if got := len(worker.Found()); got != len(friends) {
			t.Errorf("%d peers are remembered, want %d", got, len(friends))
		}
		for _, f := range friends {
			if len(worker.Peerstore().Addrs(f.ID())) == 0 {
				t.Error("a found peer's address is not remembered")
			}
		}
	})
}

// once is a Finder that finds one peer and ends.
type once struct{ found discovery.Found }

func (o once) String() string { return o.found.Source }

func (o once) Find(context.Context) iter.Seq[discovery.Found] {
	return func(yield func(discovery.Found) bool) { yield(o.found) }
}
