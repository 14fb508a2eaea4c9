package host

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// line is a relay, a worker beside it, and an owner with a round trip of 300 ms to both.
type line struct {
	owner, relay, worker *node
	// stranger is whom the relay takes for no member, until it is greeted by it: a round trip after
	// they have connected.
	stranger atomic.Pointer[peer.ID]
}

func inLine(t *testing.T, test func(t *testing.T, l *line)) {
	inWorld(t, func(t *testing.T, w *world) {
		l := &line{}
		member := func(peer.ID) bool { return true }
		l.relay = w.node(1, func(c *Config) {
			c.Member, c.Relay = member, true
			c.RelayFor = func(p peer.ID) bool { s := l.stranger.Load(); return s == nil || *s != p }
		})
		defer l.relay.stop()
		l.worker = w.node(2, func(c *Config) { c.Member, c.Bootstrap = member, []peer.AddrInfo{l.relay.info()} })
		defer l.worker.stop()
		until(t, 10*time.Second, "the worker has a reservation", func() bool { return len(l.worker.Relays()) > 0 })
		w.mu.Lock()
		w.far = "1.0.0.3"
		w.mu.Unlock()
		l.owner = w.node(3, func(c *Config) {
			c.Member, c.NoHolePunching = member, true
			c.Admit = func(ctx context.Context, _ network.Conn, inbound bool) error {
				if !inbound {
					w.pass(300 * time.Millisecond)
					l.stranger.Store(nil)
				}
				return nil
			}
		})
		defer l.owner.stop()
		test(t, l)
	})
}

// dial dials a peer through the relay, and returns how long it took.
func (l *line) dial(t *testing.T, p peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var by []multiaddr.Multiaddr
	for _, a := range l.relay.Addrs() {
		by = append(by, a.Encapsulate(route.Circuit(l.relay.ID())))
	}
	start := time.Now()
	err := l.owner.Dial(ctx, peer.AddrInfo{ID: p, Addrs: by})
	return time.Since(start), err
}

// TestCircuitTakesTwoRoundTrips: it took six, one for the connection with the relay, one for its
// greeting, one each for the request, the choice of security and Noise, and one for identification.
func TestCircuitTakesTwoRoundTrips(t *testing.T) {
	inLine(t, func(t *testing.T, l *line) {
		took, err := l.dial(t, l.worker.ID())
		if err != nil || took > 700*time.Millisecond {
			t.Errorf("connected after %v: %v", took, err)
		}
		if c := l.owner.BestConn(l.worker.ID()); c == nil || route.Of(c) != route.Relay || c.Stat().Limited {
			t.Errorf("got %v, want a circuit without limits", c)
		}
	})
}

// TestCircuitBeforeTheGreeting: a relay that does not know the owner so far refuses the first request,
// and takes the one after the greeting.
func TestCircuitBeforeTheGreeting(t *testing.T) {
	inLine(t, func(t *testing.T, l *line) {
		id := l.owner.ID()
		l.stranger.Store(&id)
		if took, err := l.dial(t, l.worker.ID()); err != nil || took > 1300*time.Millisecond {
			t.Errorf("connected after %v: %v", took, err)
		}
	})
}

// TestCircuitToNobody: that the relay refuses is read in the handshake with the peer, and still told
// apart from a peer that breaks it.
func TestCircuitToNobody(t *testing.T) {
	inLine(t, func(t *testing.T, l *line) {
		absent := peer.ID("\x00\x01a")
		_, err := l.dial(t, absent)
		if err == nil || !strings.Contains(err.Error(), "it is not connected there") {
			t.Errorf("got %v", err)
		}
	})
}
