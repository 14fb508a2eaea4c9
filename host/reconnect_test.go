package host

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/host/discovery"

	"github.com/seed-b490fa12/swarm/host/keep"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
)

// world is a simulated network in virtual time, in which single nodes can go dark.
type world struct {
	t   *testing.T
	net *simnet.Simnet

	mu   sync.Mutex // guards what follows
	dark map[string]bool
	far  string // the node on a long line
}

// inWorld runs a test in a bubble of virtual time.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dark: make(map[string]bool)}
		w.net = &simnet.Simnet{LatencyFunc: w.latency}
		w.net.Start()
		defer w.net.Close()
		test(t, w)
	})
}

// latency holds packets from and to dark nodes back for longer than any test.
func (w *world) latency(p *simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dark[ipOf(p.From)] || w.dark[ipOf(p.To)] {
		return 1000 * time.Hour
	}
	if ipOf(p.From) == w.far || ipOf(p.To) == w.far {
		return 150 * time.Millisecond
	}
	return 10 * time.Millisecond
}

func ipOf(a net.Addr) string { return a.(*net.UDPAddr).IP.String() }

func (w *world) setDark(n *node, dark bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dark[n.ip] = dark
}

// node is a host in the world.
type node struct {
	*Host
	ip   string
	stop func() // ends Run and closes
}

// host makes the host number i, which has the same key and address each time. It listens.
func (w *world) host(i int, change func(*Config)) (h *Host, ip string) {
	w.t.Helper()
	ip = fmt.Sprintf("1.0.%d.%d", i/256, i%256)
	seed := make([]byte, ed25519.SeedSize)
	seed[0], seed[1] = byte(i), byte(i/256)
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		w.t.Fatal(err)
	}
	speed := simnet.LinkSettings{BitsPerSecond: 20 * simlibp2p.OneMbps}
	cfg := Config{
		Identity: key,
		DHT:      DHTOff,
		Listen:   []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/" + ip + "/udp/4747/quic-v1")},
		Options: []libp2p.Option{
			simlibp2p.QUICSimnet(w.net, simnet.NodeBiDiLinkSettings{Downlink: speed, Uplink: speed}),
			libp2p.DisableIdentifyAddressDiscovery(),
		},
	}
	if change != nil {
		change(&cfg)
	}
	h, err = New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := h.Listen(); err != nil {
		w.t.Fatal(err)
	}
	return h, ip
}

// node starts the host number i.
func (w *world) node(i int, change func(*Config)) *node {
	w.t.Helper()
	h, ip := w.host(i, change)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return &node{Host: h, ip: ip, stop: func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := h.Close(); err != nil {
			w.t.Error(err)
		}
	}}
}

func (n *node) info() peer.AddrInfo { return peer.AddrInfo{ID: n.ID(), Addrs: n.Addrs()} }

// pass lets virtual time pass.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// until waits in virtual time and returns how long it took.
func until(t *testing.T, most time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > most {
			t.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(start)
}

func connected(a, b *node) func() bool {
	return func() bool { return a.Network().Connectedness(b.ID()) == network.Connected }
}

func lost(a, b *node) func() bool { return func() bool { return !connected(a, b)() } }

// TestReconnectAfterDarkness: with the library alone, a link that was dark for 45 s came back late,
// because its dial backoff refused to dial; and after the first refused dial nobody tried again.
func TestReconnectAfterDarkness(t *testing.T) {
	tests := []struct{ dark, most time.Duration }{
		{5 * time.Second, 15 * time.Second},
		{45 * time.Second, 15 * time.Second},
		{10 * time.Minute, 15 * time.Second},
		{8 * time.Hour, 35 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.dark.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				worker := w.node(1, nil)
				defer worker.stop()
				controller := w.node(2, func(c *Config) { c.Bootstrap = []peer.AddrInfo{worker.info()} })
				defer controller.stop()
				until(t, 10*time.Second, "connected", connected(controller, worker))

				w.setDark(worker, true)
				time.Sleep(tt.dark)
				if tt.dark >= time.Minute && connected(controller, worker)() {
					t.Error("still connected with a dark node")
				}
				w.setDark(worker, false)
				took := until(t, 2*time.Minute, "connected again", func() bool { return alive(controller, worker) })
				t.Logf("dark for %v: alive again after %v", tt.dark, took)
				if took > tt.most {
					t.Errorf("took %v, want at most %v", took, tt.most)
				}
			})
		})
	}
}

// alive asks for an answer over the connection, if there is one.
func alive(a, b *node) bool {
	if !connected(a, b)() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := a.NewStream(network.WithNoDial(ctx, "test"), b.ID(), "/ipfs/ping/1.0.0")
	if err != nil {
		return false
	}
	defer s.Reset()
	_ = s.SetDeadline(time.Now().Add(time.Second))
	ping := make([]byte, 32)
	if _, err := s.Write(ping); err != nil {
		return false
	}
	_, err = s.Read(ping)
	return err == nil
}

// TestReconnectAfterRestart: a worker that is started again is connected within a few seconds,
// whoever of the two dials.
func TestReconnectAfterRestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		worker := w.node(1, nil)
		controller := w.node(2, nil)
		defer controller.stop()
		controller.Keep(worker.info()) // after Run has begun
		until(t, 10*time.Second, "connected", connected(controller, worker))
		worker.stop()
		until(t, time.Second, "lost", lost(controller, worker))
		time.Sleep(3 * time.Minute)
		worker = w.node(1, nil)
		defer worker.stop()
		took := until(t, time.Minute, "connected again", connected(controller, worker))
		t.Logf("connected %v after the restart", took)
		if took > 12*time.Second {
			t.Errorf("took %v, want at most 12 s", took)
		}
	})
}

// TestForget: a forgotten peer is not dialled again.
func TestForget(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		worker := w.node(1, nil)
		controller := w.node(2, func(c *Config) { c.Bootstrap = []peer.AddrInfo{worker.info()} })
		defer controller.stop()
		until(t, 10*time.Second, "connected", connected(controller, worker))
		if !controller.ConnManager().IsProtected(worker.ID(), keep.Tag) {
			t.Error("a kept peer is not protected")
		}
		controller.Forget(worker.ID())
		if controller.ConnManager().IsProtected(worker.ID(), keep.Tag) {
			t.Error("a forgotten peer is protected")
		}
		worker.stop()
		worker = w.node(1, nil)
		defer worker.stop()
		time.Sleep(time.Hour)
		if connected(controller, worker)() {
			t.Error("a forgotten peer was dialled")
		}
	})
}

// TestFleetFindsItself: ten workers know one address; all are found, and nobody has more
// connections than it wants.
func TestFleetFindsItself(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		withDHT := func(c *Config) { c.DHT = DHTServer }
		first := w.node(1, withDHT)
		defer first.stop()
		var all []*node
		for i := 2; i <= 10; i++ {
			n := w.node(i, func(c *Config) { withDHT(c); c.Bootstrap = []peer.AddrInfo{first.info()} })
			defer n.stop()
			all = append(all, n)
		}
		controller := w.node(100, func(c *Config) {
			c.DHT, c.Bootstrap, c.Connections = DHTClient, []peer.AddrInfo{first.info()}, -1
		})
		defer controller.stop()
		took := until(t, time.Minute, "the controller has found all", func() bool { return len(controller.Found()) == 10 })
		t.Logf("10 workers found after %v", took)
		if took > 3*time.Second {
			t.Errorf("took %v, want at most 3 s", took)
		}
		took = until(t, time.Minute, "all have found all", func() bool {
			for _, n := range all {
				if len(n.Found()) < 9 {
					return false
				}
			}
			return true
		})
		t.Logf("all found all %v later", took)
	})
}

// TestOnlyAFewConnections: a worker dials peers that discovery finds until it has the connections
// it wants, and remembers the others.
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
			worker.follower.Run(t.Context(), once{discovery.Found{AddrInfo: f.info(), Source: "test"}})
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
