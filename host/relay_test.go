package host_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
)

// members is whom the relays of a test serve.
type members struct {
	mu  sync.Mutex
	ids map[peer.ID]bool
}

func (m *members) add(hosts ...*host.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = make(map[peer.ID]bool)
	}
	for _, h := range hosts {
		m.ids[h.ID()] = true
	}
}

func (m *members) has(p peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ids[p]
}

func newRelay(t *testing.T, m *members) *host.Host {
	t.Helper()
	r := newHost(t, host.Config{DHT: host.DHTOff, Relay: true, RelayFor: m.has})
	run(t, r)
	return r
}

// behind starts a host that stays connected with relays. It says nothing of its own addresses, as
// if nobody could reach them.
func behind(t *testing.T, relays ...*host.Host) *host.Host {
	t.Helper()
	var boot []peer.AddrInfo
	for _, r := range relays {
		boot = append(boot, addrInfo(r))
	}
	h := newHost(t, host.Config{DHT: host.DHTOff, Bootstrap: boot})
	run(t, h)
	return h
}

const echoID = "/test/echo/1.0.0"

func echo(t *testing.T, from, to *host.Host) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := from.NewStream(ctx, to.ID(), echoID)
	if err != nil {
		return err
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(5 * time.Second))
	big := strings.Repeat("x", 1<<20) // over the limit of a public relay
	go func() { io.WriteString(s, big); s.CloseWrite() }()
	got, err := io.ReadAll(s)
	if err == nil && string(got) != big {
		t.Errorf("%d bytes came back, want %d", len(got), len(big))
	}
	return err
}

func serveEcho(h *host.Host) {
	h.SetStreamHandler(echoID, func(s network.Stream) { io.Copy(s, s); s.Close() })
}

// natOf keeps a host from dialling a peer directly.
type natOf struct {
	peer peer.ID
	gone atomic.Bool
}

func (n *natOf) InterceptPeerDial(peer.ID) bool              { return true }
func (n *natOf) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (n *natOf) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}
func (n *natOf) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (n *natOf) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return p != n.peer || err == nil || n.gone.Load()
}

func TestRelay(t *testing.T) {
	var m members
	r := newRelay(t, &m)
	w := behind(t, r)
	m.add(w)
	serveEcho(w)
	eventually(t, 10*time.Second, "a place with the relay", func() bool { return slices.Contains(w.Relays(), r.ID()) })

	nat := &natOf{peer: w.ID()}
	c := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff, Gater: nat})
	run(t, c)
	if err := c.Connect(t.Context(), addrInfo(r)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the relay to be known as one", func() bool {
		err := c.Connect(t.Context(), peer.AddrInfo{ID: w.ID()})
		return err != nil && strings.Contains(err.Error(), "does not let us through")
	})

	m.add(c)
	if err := c.Connect(t.Context(), peer.AddrInfo{ID: w.ID()}); err != nil {
		t.Fatal(err)
	}
	if p := route.Of(c.BestConn(w.ID())); p != route.Relay {
		t.Fatalf("connected by %s", p)
	}
	if err := echo(t, c, w); err != nil {
		t.Fatal(err)
	}
	if sent := r.Relayed(); sent[c.ID()] < 1<<20 || sent[w.ID()] < 1<<20 {
		t.Errorf("the relay counted %v", sent)
	}
	if s, ok := c.Standings().Get(w.ID()); !ok || s.State != keep.Relayed || s.Path != route.Relay {
		t.Errorf("standing %+v", s)
	}

	// Once it is within reach, the better path takes the relay's place by itself.
	nat.gone.Store(true)
	eventually(t, 10*time.Second, "the better path", func() bool { return route.Of(c.BestConn(w.ID())) == route.LAN })
	eventually(t, 15*time.Second, "the circuit to be given up", func() bool { return len(c.Network().ConnsToPeer(w.ID())) == 1 })
	if s, _ := c.Standings().Get(w.ID()); s.State != keep.Direct || s.Path != route.LAN {
		t.Errorf("standing %+v", s)
	}
	if err := echo(t, c, w); err != nil {
		t.Error(err)
	}
}

// What is large waits for a direct path while one may be on its way, and no longer: there may be
// only the relay.
func TestAwaitDirect(t *testing.T) {
	for _, tc := range []struct {
		name        string
		key         pnet.PSK
		silent      bool // the caller does not listen
		least, most time.Duration
	}{
		{"while a hole may be punched", nil, false, 4 * time.Second, 8 * time.Second},
		{"with a network key there is no QUIC to punch one", newKey(t), false, 0, 2 * time.Second},
		{"one that does not listen punches none", nil, true, 0, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := identity.New()
			if err != nil {
				t.Fatal(err)
			}
			caller, err := peer.IDFromPrivateKey(id)
			if err != nil {
				t.Fatal(err)
			}
			var m members
			listen := listenLoopback
			if tc.key != nil {
				listen = listen[:1]
			}
			r := newHost(t, host.Config{DHT: host.DHTOff, NetworkKey: tc.key, Listen: listen, Relay: true, RelayFor: m.has})
			run(t, r)
			w := newHost(t, host.Config{DHT: host.DHTOff, NetworkKey: tc.key, Listen: listen, Gater: &natOf{peer: caller}, Bootstrap: []peer.AddrInfo{addrInfo(r)}})
			run(t, w)
			cfg := host.Config{DHT: host.DHTOff, NetworkKey: tc.key, Identity: id, Gater: &natOf{peer: w.ID()}, NoListen: tc.silent}
			if !tc.silent {
				cfg.Listen = listen
			}
			c := newHost(t, cfg)
			run(t, c)
			m.add(w, c)
			eventually(t, 10*time.Second, "a place with the relay", func() bool { return slices.Contains(w.Relays(), r.ID()) })
			if err := c.Connect(t.Context(), addrInfo(r)); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "the relay to be known as one", func() bool {
				protocols, _ := c.Peerstore().SupportsProtocols(r.ID(), proto.ProtoIDv2Hop)
				return len(protocols) > 0
			})
			start := time.Now()
			c.AwaitDirect(t.Context(), w.ID())
			took := time.Since(start)
			if best := c.BestConn(w.ID()); best == nil || route.Of(best) != route.Relay {
				t.Fatal("not connected over the relay")
			}
			if took < tc.least || took > tc.most {
				t.Errorf("it took %v, want %v to %v", took, tc.least, tc.most)
			}
		})
	}
}

func TestTwoRelaysAreKept(t *testing.T) {
	var m members
	a, b, third := newRelay(t, &m), newRelay(t, &m), newRelay(t, &m)
	w := behind(t, a, b, third)
	m.add(w)
	eventually(t, 15*time.Second, "places with two relays", func() bool { return len(w.Relays()) == 2 })
	relays := []*host.Host{a, b, third}
	used := slices.IndexFunc(relays, func(r *host.Host) bool { return r.ID() == w.Relays()[0] })
	if err := relays[used].Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "the third in place of the lost one", func() bool {
		return len(w.Relays()) == 2 && !slices.Contains(w.Relays(), relays[used].ID())
	})
}

// One who is asked to relay for nobody does so.
func TestRelayForNobody(t *testing.T) {
	r := newHost(t, host.Config{DHT: host.DHTOff, Relay: true})
	run(t, r)
	w := behind(t, r)
	c := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	if err := c.Connect(t.Context(), addrInfo(r)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a refusal", func() bool {
		err := c.Connect(t.Context(), peer.AddrInfo{ID: w.ID()})
		return err != nil && strings.Contains(err.Error(), "does not let us through")
	})
	if len(w.Relays()) > 0 {
		t.Error("a place with a relay that serves nobody")
	}
}

// A relay that was started again knows nothing of the places it has given. It is asked anew, also
// when it is back before the connection with the one before is found dead.
func TestRelayIsStartedAgain(t *testing.T) {
	var m members
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *host.Host {
		r := newHost(t, host.Config{DHT: host.DHTOff, Relay: true, RelayFor: m.has, Identity: key})
		run(t, r)
		return r
	}
	old := start()
	w := behind(t, old)
	c := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff, Gater: &natOf{peer: w.ID()}})
	run(t, c)
	m.add(w, c)
	eventually(t, 10*time.Second, "a place with the relay", func() bool { return slices.Contains(w.Relays(), old.ID()) })
	again := start()
	if err := again.Connect(t.Context(), addrInfo(w)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "two connections", func() bool { return len(w.Network().ConnsToPeer(old.ID())) == 2 })
	if err := old.Network().ClosePeer(w.ID()); err != nil { // as by a kill: one that ends in order says before that it is no relay now
		t.Fatal(err)
	}
	if err := c.Connect(t.Context(), addrInfo(again)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "a place with the new one", func() bool { return c.Connect(t.Context(), peer.AddrInfo{ID: w.ID()}) == nil })
}

// Strangers that say they are relays neither take a true one's turn nor have this node dial anybody.
func TestStrangersAreNoRelays(t *testing.T) {
	var m members
	r := newRelay(t, &m)
	w := behind(t, r)
	away, dials := neverThere(t)
	c := newHost(t, host.Config{
		DHT: host.DHTOff, Gater: &natOf{peer: w.ID()}, Member: m.has, Connections: -1, Bootstrap: []peer.AddrInfo{away},
		Admit: func(_ context.Context, c network.Conn, _ bool) error {
			if m.has(c.RemotePeer()) {
				return nil
			}
			return errors.New("a stranger")
		},
	})
	m.add(w, c, r)
	run(t, c)
	if err := c.Book().Put(book.Entry{Peer: r.ID(), Role: "relay", Addrs: []string{r.Addrs()[0].String()}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "a place with the relay", func() bool { return slices.Contains(w.Relays(), r.ID()) })
	eventually(t, 10*time.Second, "the first dial", func() bool { return dials.Load() > 0 })
	const strangers = 10
	before := dials.Load()
	for range strangers {
		s, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.SetStreamHandler(proto.ProtoIDv2Hop, func(s network.Stream) { s.Reset() })
		if err := s.Connect(t.Context(), addrInfo(c)); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "what it says of itself", func() bool {
			has, err := c.Peerstore().SupportsProtocols(s.ID(), proto.ProtoIDv2Hop)
			return err == nil && len(has) > 0
		})
	}
	if n := dials.Load() - before; n >= strangers { // some are due to the true relay
		t.Errorf("%d dials for %d strangers", n, strangers)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Connect(ctx, peer.AddrInfo{ID: w.ID()}); err != nil {
		t.Error(err)
	}
}

// A machine that has moved leaves addresses behind where nobody answers. They keep nobody from
// going by way of a relay.
func TestSilentAddressesHoldUpNoRelay(t *testing.T) {
	var m members
	r := newRelay(t, &m)
	w := behind(t, r)
	c := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	run(t, c)
	m.add(w, c)
	eventually(t, 10*time.Second, "a place with the relay", func() bool { return slices.Contains(w.Relays(), r.ID()) })
	if err := c.Connect(t.Context(), addrInfo(r)); err != nil {
		t.Fatal(err)
	}
	left := silent(t, w.ID(), 16)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := c.Connect(ctx, left); err != nil {
		t.Error(err)
	}
}

// silent are addresses at which somebody accepts connections and says nothing, which holds up a
// dial for as long as possible.
func silent(t *testing.T, p peer.ID, n int) peer.AddrInfo {
	t.Helper()
	var (
		mu   sync.Mutex
		open []net.Conn // so that they stay so
	)
	info := peer.AddrInfo{ID: p}
	for range n {
		at, _ := listener(t, func(c net.Conn) {
			mu.Lock()
			defer mu.Unlock()
			open = append(open, c)
		})
		info.Addrs = append(info.Addrs, at.Addrs...)
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	return info
}

// neverThere is a peer at an address that closes connections at once, and counts them.
func neverThere(t *testing.T) (peer.AddrInfo, *atomic.Int64) {
	t.Helper()
	return listener(t, func(c net.Conn) { c.Close() })
}

// listener is a peer that is not what it should be at its address.
func listener(t *testing.T, serve func(net.Conn)) (peer.AddrInfo, *atomic.Int64) {
	t.Helper()
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			serve(c)
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	addr, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{addr}}, &n
}
