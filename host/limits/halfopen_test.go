package limits

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// silent is a raw connection that says nothing.
type silent struct {
	net.Conn
	from   multiaddr.Multiaddr
	closed atomic.Bool
}

func (s *silent) RemoteMultiaddr() multiaddr.Multiaddr { return s.from }
func (s *silent) LocalMultiaddr() multiaddr.Multiaddr {
	return multiaddr.StringCast("/ip4/198.51.100.1/tcp/4747")
}
func (s *silent) SetReadDeadline(time.Time) error { return nil }
func (s *silent) Close() error                    { s.closed.Store(true); return nil }

// comes has a connection come from an address and a port.
func comes(h *halfOpen, addr string, port int) (*silent, *half, error) {
	s := &silent{from: multiaddr.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", addr, port))}
	h.accepted(s)
	c, err := h.begin(s.from, time.Now())
	return s, c, err
}

// A network has its share of the handshakes and no more; the oldest of its busiest address gives
// way, once it had its second.
func TestHalfOpenShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHalfOpen(40) // 30 in all, 10 for a network
		var first *silent
		for i := range h.ofNet {
			s, _, err := comes(h, "192.0.2.7", 1000+i)
			if err != nil {
				t.Fatalf("connection %d of %d: %v", i, h.ofNet, err)
			}
			if i == 0 {
				first = s
				time.Sleep(time.Millisecond)
			}
		}
		if _, _, err := comes(h, "192.0.2.7", 2000); !errors.Is(err, errCrowded) {
			t.Errorf("one more at once: %v", err)
		}
		if s, _, err := comes(h, "192.0.2.8", 2000); err != nil || s.closed.Load() || !first.closed.Load() {
			t.Errorf("a neighbour of a busy address: %v, closed %v, first closed %v", err, s.closed.Load(), first.closed.Load())
		}
		if _, _, err := comes(h, "203.0.113.1", 2000); err != nil {
			t.Errorf("another network: %v", err)
		}
		time.Sleep(halfOpenGrace)
		if s, _, err := comes(h, "192.0.2.7", 2001); err != nil || s.closed.Load() {
			t.Errorf("one more after a second: %v", err)
		}
		if got := len(h.open); got != h.ofNet+1 {
			t.Errorf("%d on the account, want %d", got, h.ofNet+1)
		}
		time.Sleep(halfOpenTime)
		if len(h.came) > 0 {
			t.Errorf("%d connections are remembered", len(h.came))
		}
	})
}

// However many networks are in it together, who comes from another one gets in, and all together
// keep to the bound.
func TestHalfOpenBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHalfOpen(40)
		for i := range 200 {
			_, _, _ = comes(h, fmt.Sprintf("10.0.%d.1", i%8), 1000+i)
		}
		if got := len(h.open); got != h.most {
			t.Errorf("%d on the account, want %d", got, h.most)
		}
		if _, _, err := comes(h, "203.0.113.1", 1); err != nil {
			t.Errorf("a network that has none: %v", err)
		}
		if got := len(h.open); got != h.most {
			t.Errorf("%d on the account then, want %d", got, h.most)
		}
		time.Sleep(halfOpenTime)
		synctest.Wait()
		for c := range h.open {
			if !c.conn.(*silent).closed.Load() {
				t.Fatal("one was kept for longer than it may")
			}
			h.done(c)
		}
		if len(h.open) > 0 {
			t.Errorf("%d are left", len(h.open))
		}
	})
}

// What is ready for streams is not ended, and gives its place back.
func TestHalfOpenUpgraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHalfOpen(40)
		a, _, _ := comes(h, "192.0.2.7", 1000)
		b, _, _ := comes(h, "192.0.2.7", 1001)
		h.upgraded(&silent{from: a.from.Encapsulate(multiaddr.StringCast("/ws"))})
		time.Sleep(halfOpenTime)
		synctest.Wait()
		if a.closed.Load() || !b.closed.Load() {
			t.Errorf("upgraded: closed %v; silent: closed %v", a.closed.Load(), b.closed.Load())
		}
		if len(h.open) != 1 {
			t.Errorf("%d on the account, want 1", len(h.open))
		}
	})
}

// Connections of this machine, by relays and without an address are not counted.
func TestHalfOpenKnowsNoAddress(t *testing.T) {
	h := newHalfOpen(40)
	for _, a := range []multiaddr.Multiaddr{
		nil, multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"), multiaddr.StringCast("/ip6/::1/tcp/1"),
		multiaddr.StringCast("/ip4/192.0.2.1/tcp/1/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE/p2p-circuit"),
	} {
		if c, err := h.begin(a, time.Now()); c != nil || err != nil {
			t.Errorf("%v: %v, %v", a, c, err)
		}
	}
	for text, want := range map[string]string{"192.0.2.7": "192.0.2.0/24", "2001:db8:1:2ff::1": "2001:db8:1:200::/56"} {
		if got := route.Network(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s is in %s, want %s", text, got, want)
		}
	}
}

// QUIC asks for resources first; its handshakes are counted, and give their places back with the
// key or the end.
func TestHalfOpenOverQUIC(t *testing.T) {
	rm, err := newResourceManager(100, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	r := &halfOpenResources{rm, newHalfOpen(handshakesFor(100))}
	from := multiaddr.StringCast("/ip4/192.0.2.7/udp/4747/quic-v1")
	var open []network.ConnManagementScope
	for range r.half.ofNet {
		scope, err := r.OpenConnection(network.DirInbound, false, from)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, scope)
	}
	if _, err := r.OpenConnection(network.DirInbound, false, from); !errors.Is(err, errCrowded) {
		t.Errorf("one more: %v", err)
	}
	if _, _, err := comes(r.half, "192.0.2.7", 4747); err != nil {
		t.Errorf("over TCP: %v", err)
	}
	if _, err := r.OpenConnection(network.DirInbound, false, multiaddr.StringCast("/ip4/192.0.3.7/udp/4747/quic-v1")); err != nil {
		t.Errorf("another network: %v", err)
	}
	clear(r.half.open)
	r.half.open[open[0].(*halfOpenScope).conn], r.half.open[open[1].(*halfOpenScope).conn] = struct{}{}, struct{}{}
	if err := open[0].SetPeer(peer.ID("peer")); err != nil {
		t.Fatal(err)
	}
	open[1].Done()
	if got := len(r.half.open); got != 0 {
		t.Errorf("%d on the account in the end", got)
	}
	for _, s := range open {
		s.Done()
	}
}

// Handshakes over QUIC, of however many networks, leave room for those over TCP.
func TestHalfOpenQUICLeavesRoom(t *testing.T) {
	h := newHalfOpen(40)
	for i := range 100 {
		_, _ = h.begin(multiaddr.StringCast(fmt.Sprintf("/ip4/10.0.%d.1/udp/1/quic-v1", i)), time.Now())
	}
	if got := len(h.open); got != h.most/2 {
		t.Errorf("%d on the account, want %d", got, h.most/2)
	}
	for i := range h.most {
		if _, _, err := comes(h, fmt.Sprintf("10.1.%d.1", i), 1); err != nil {
			t.Fatalf("TCP connection %d: %v", i, err)
		}
	}
	if got := len(h.open); got != h.most {
		t.Errorf("%d on the account, want %d", got, h.most)
	}
}
