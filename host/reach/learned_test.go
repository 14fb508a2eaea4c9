package reach

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"
)

func randomPeer(t testing.TB) peer.ID {
	t.Helper()
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cameFrom is a connection by its direction and the other's address.
type cameFrom struct {
	network.Conn
	direction network.Direction
	addr, id  string
}

func (c cameFrom) ID() string { return c.id }

func (c cameFrom) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: c.direction}}
}
func (c cameFrom) RemoteMultiaddr() multiaddr.Multiaddr { return multiaddr.StringCast(c.addr) }

func TestLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			from, lan, forwarded, other = "/ip4/8.8.8.9/tcp/50000", "/ip4/192.168.1.7/tcp/4747", "/ip4/8.8.4.7/tcp/4747", "/ip4/8.8.4.8/tcp/1"
			circuit                     = "/p2p/12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd/p2p-circuit"
		)
		own := []multiaddr.Multiaddr{multiaddr.StringCast(lan)}
		members := map[peer.ID]bool{}
		l := NewLearned(func(p peer.ID) bool { return members[p] })
		conns := 0
		again := func(p peer.ID, way network.Direction, seen string, others ...network.Conn) { // over the last connection
			c := cameFrom{direction: way, addr: from, id: fmt.Sprint(conns)}
			l.Note(event.EvtPeerIdentificationCompleted{Peer: p, Conn: c, ObservedAddr: multiaddr.StringCast(seen)}, others)
		}
		note := func(p peer.ID, way network.Direction, seen string, others ...network.Conn) {
			conns++
			again(p, way, seen, others...)
		}
		check := func(what string, want ...string) {
			t.Helper()
			var got []string
			for _, a := range l.Addrs(own) {
				got = append(got, a.String())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		laptop, friend, stranger := randomPeer(t), randomPeer(t), randomPeer(t)
		members[friend] = true
		note(laptop, network.DirInbound, forwarded)
		check("by one who may be no member")
		members[laptop] = true
		check("by a member", forwarded)
		note(stranger, network.DirInbound, other)
		check("by a stranger, too", forwarded)
		note(friend, network.DirOutbound, other)
		check("by one whom we have dialled", forwarded)
		note(friend, network.DirInbound, other, cameFrom{addr: circuit})
		check("through a hole that was punched", forwarded)
		again(friend, network.DirInbound, other)
		check("and the relay is left", forwarded)
		note(friend, network.DirInbound, lan)
		check("our own", forwarded)
		note(laptop, network.DirInbound, lan)
		check("it has come home", forwarded)

		l.Left(laptop)
		time.Sleep(learnedTime)
		check("a day later", forwarded)
		note(friend, network.DirInbound, other)
		check("another, last", other, forwarded)
		time.Sleep(time.Second)
		check("it has been gone for more than a day", other)

		for i := range 2 * maxLearners { // strangers who come, and some of whom go
			p := randomPeer(t)
			note(p, network.DirInbound, fmt.Sprintf("/ip4/8.8.8.1/tcp/%d", 1+i))
			if i%2 == 0 {
				l.Left(p)
			}
		}
		check("strangers", other)
		for i := range 2 * maxLearners {
			p := randomPeer(t)
			members[p] = true
			note(p, network.DirInbound, fmt.Sprintf("/ip4/8.8.4.9/tcp/%d", 1+i))
			if i%2 == 0 {
				l.Left(p)
			}
		}
		first := fmt.Sprint(l.Addrs(own))
		for range 100 {
			if now := fmt.Sprint(l.Addrs(own)); now != first {
				t.Fatalf("it changes by itself: %s, %s", first, now)
			}
		}
		if n := len(l.Addrs(own)); n != maxLearned || len(l.seen) != maxLearners {
			t.Errorf("%d addresses by the words of %d", n, len(l.seen))
		}
	})
}
