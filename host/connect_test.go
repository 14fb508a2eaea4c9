package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/discovery"
)

// closedPort is a loopback address where nobody listens.
func closedPort(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
}

func TestConnectErrors(t *testing.T) {
	worker := newHost(t, host.Config{DHT: host.DHTOff})
	h := newHost(t, host.Config{NoListen: true})
	other, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		to   peer.AddrInfo
		is   error
		want string
	}{
		{"self", peer.AddrInfo{ID: h.ID()}, host.ErrSelf, "itself"},
		{"no address", peer.AddrInfo{ID: other}, host.ErrNoAddress, "/p2p/" + other.String()},
		{"nobody there", peer.AddrInfo{ID: other, Addrs: []multiaddr.Multiaddr{closedPort(t)}}, host.ErrUnreachable, "connection refused"},
		{"another peer there", peer.AddrInfo{ID: other, Addrs: worker.Addrs()[:1]}, host.ErrOtherPeer, worker.ID().String()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 2 { // the second time the library alone would only say "dial backoff"
				err := h.Connect(ctx, tt.to)
				if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want one line with %q and kind %q", err, tt.want, tt.is)
				}
			}
		})
	}
	if err := h.Connect(t.Context(), addrInfo(worker)); err != nil {
		t.Errorf("a good peer: %v", err)
	}
}

// TestConnectBySavedAddress: the address book is enough.
func TestConnectBySavedAddress(t *testing.T) {
	worker := newHost(t, host.Config{DHT: host.DHTOff})
	h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	if err := h.Book().Put(book.Entry{Peer: worker.ID(), Addrs: []string{worker.Addrs()[0].String()}}); err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: worker.ID()}); err != nil {
		t.Error(err)
	}
}

// TestSavedPeersAreEnough: after a restart without bootstrap peers a worker dials the one it
// remembers.
func TestSavedPeersAreEnough(t *testing.T) {
	dir := t.TempDir()
	friend := newHost(t, host.Config{DHT: host.DHTOff})
	first := newHost(t, host.Config{StateDir: dir, DHT: host.DHTOff, Bootstrap: []peer.AddrInfo{addrInfo(friend)}})
	stop := runUntil(t, first)
	eventually(t, 10*time.Second, "the friend's address is saved", func() bool {
		m, ok := first.Book().Get(friend.ID())
		return ok && len(m.Addrs) > 0 && m.LastSeen > 0 && !m.Hint
	})
	stop()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := newHost(t, host.Config{StateDir: dir, DHT: host.DHTOff})
	run(t, again)
	eventually(t, 10*time.Second, "connected with the saved peer", func() bool { return len(again.Network().ConnsToPeer(friend.ID())) > 0 })
	if f := again.Found(); len(f) != 1 || f[0].Source != "saved" {
		t.Errorf("found %v, want the saved one", f)
	}
	if _, ok := friend.Book().Get(again.ID()); ok {
		t.Error("a stranger that came by itself was saved")
	}
}

func TestCloseEndsRun(t *testing.T) {
	h := newHost(t, host.Config{MDNS: true})
	done := make(chan error, 1)
	go func() { done <- h.Run(context.Background()) }()
	eventually(t, 5*time.Second, "running", func() bool { return len(h.Addrs()) > 0 })
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, host.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on after Close")
	}
	if err := h.Run(t.Context()); !errors.Is(err, host.ErrClosed) {
		t.Errorf("Run after Close: %v, want ErrClosed", err)
	}
	if err := h.Listen(); !errors.Is(err, host.ErrClosed) {
		t.Errorf("Listen after Close: %v, want ErrClosed", err)
	}
}

// TestPortIsTaken: TCP listeners are opened so that they could be shared, but a second node must
// not take half of the first one's connections.
func TestPortIsTaken(t *testing.T) {
	tests := []string{"/ip4/127.0.0.1/tcp/%d", "/ip4/127.0.0.1/udp/%d/quic-v1", "/ip4/127.0.0.1/tcp/%d/ws"}
	for _, format := range tests {
		t.Run(strings.Trim(strings.ReplaceAll(format, "/", " "), " "), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := l.Addr().(*net.TCPAddr).Port
			l.Close()
			listen := []multiaddr.Multiaddr{multiaddr.StringCast(fmt.Sprintf(format, port))}
			newHost(t, host.Config{Listen: listen, DHT: host.DHTOff})
			second, err := host.New(host.Config{StateDir: t.TempDir(), Listen: listen, DHT: host.DHTOff})
			if err != nil {
				t.Fatal(err)
			}
			defer second.Close()
			if err := second.Listen(); !errors.Is(err, host.ErrAddrInUse) {
				t.Errorf("got %v, want ErrAddrInUse", err)
			}
			if got := second.Listening(); len(got) != 0 {
				t.Errorf("listens on %v after the error", got)
			}
		})
	}
}

// TestWebSocket: a node that listens on WebSocket is reached there.
func TestWebSocket(t *testing.T) {
	worker := newHost(t, host.Config{Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0/ws")}, DHT: host.DHTOff})
	h := newHost(t, host.Config{NoListen: true, DHT: host.DHTOff})
	if err := h.Connect(t.Context(), addrInfo(worker)); err != nil {
		t.Error(err)
	}
}

func TestConfigRefused(t *testing.T) {
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	many := make([]peer.AddrInfo, 257)
	for i := range many {
		many[i] = peer.AddrInfo{ID: id, Addrs: listenLoopback}
	}
	tests := []struct {
		name string
		cfg  host.Config
		want string
	}{
		{"no identity", host.Config{}, "StateDir or an Identity"},
		{"bootstrap without address", host.Config{StateDir: "x", Bootstrap: []peer.AddrInfo{{ID: id}}}, "needs a peer ID and an address"},
		{"bootstrap without ID", host.Config{StateDir: "x", Bootstrap: []peer.AddrInfo{{Addrs: listenLoopback}}}, "needs a peer ID and an address"},
		{"too many bootstrap peers", host.Config{StateDir: "x", Bootstrap: many}, "at most 256"},
		{"negative size", host.Config{StateDir: "x", MaxPeers: -1}, "MaxPeers"},
		{"too large a size", host.Config{StateDir: "x", MaxPeers: 100_001}, "MaxPeers"},
		{"external name that cannot be written", host.Config{StateDir: "x", External: []multiaddr.Multiaddr{multiaddr.StringCast("/dns4/münchen.example/tcp/1")}}, "xn--"},
		{"both", host.Config{StateDir: "x", NoListen: true, Listen: listenLoopback}, "exclude"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg.StateDir != "" {
				tt.cfg.StateDir = filepath.Join(t.TempDir(), tt.cfg.StateDir)
			}
			if _, err := host.New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
			if _, err := os.Stat(tt.cfg.StateDir); tt.cfg.StateDir != "" && err == nil {
				t.Error("a refused config left a state directory")
			}
		})
	}
}

func TestParsePeers(t *testing.T) {
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	p2p := "/p2p/" + id.String()
	got, err := host.ParsePeers("/ip4/192.0.2.1/tcp/4747"+p2p, "/ip4/192.0.2.1/udp/4747/quic-v1"+p2p)
	if err != nil || len(got) != 1 || got[0].ID != id || len(got[0].Addrs) != 2 {
		t.Errorf("got %v, %v, want one peer with two addresses", got, err)
	}
	for _, bad := range []string{"", "192.0.2.1:4747", "/ip4/192.0.2.1/tcp/4747", p2p, "/ip4/192.0.2.1/tcp/4747/p2p/x"} {
		if got, err := host.ParsePeers(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

// TestMovedPeer: a peer whose saved address is out of date is found through another saved one, also
// by a process that has just started and has met nobody yet.
func TestMovedPeer(t *testing.T) {
	a := newHost(t, host.Config{})
	run(t, a)
	moved := newHost(t, host.Config{Bootstrap: []peer.AddrInfo{addrInfo(a)}})
	run(t, moved)
	eventually(t, 10*time.Second, "the two know each other", func() bool { return len(a.Found()) > 0 })
	for _, way := range []string{"saved", "bootstrap"} {
		t.Run(way, func(t *testing.T) {
			cfg := host.Config{NoListen: true, StateDir: t.TempDir()}
			if way == "bootstrap" {
				cfg.Bootstrap = []peer.AddrInfo{addrInfo(a)}
			}
			h := newHost(t, cfg)
			if err := h.Book().Put(book.Entry{Peer: moved.ID(), Addrs: []string{closedPort(t).String()}}); err != nil {
				t.Fatal(err)
			}
			if way == "saved" {
				if err := h.Book().Put(book.Entry{Peer: a.ID(), Addrs: []string{a.Addrs()[0].String()}}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			if err := h.Connect(ctx, peer.AddrInfo{ID: moved.ID()}); err != nil {
				t.Error(err)
			}
			t.Logf("found and connected after %v", time.Since(start))
		})
	}
}

// TestBeaconFinds: the Config's beacon announces a node that listens, and one that does not only
// looks.
func TestBeaconFinds(t *testing.T) {
	nics, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nics, func(n net.Interface) bool { return n.Flags&net.FlagLoopback != 0 && n.Flags&net.FlagUp != 0 })
	port, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if i < 0 || err != nil {
		t.Skip("SKIPPED: no loopback interface is up: ", err)
	}
	port.Close()
	beacon := &discovery.BeaconConfig{Interface: nics[i].Name, Port: port.LocalAddr().(*net.UDPAddr).Port}
	worker := newHost(t, host.Config{DHT: host.DHTOff, Beacon: beacon})
	asker := newHost(t, host.Config{DHT: host.DHTOff, Beacon: beacon, NoListen: true})
	stranger := newHost(t, host.Config{DHT: host.DHTOff, Beacon: beacon, NoListen: true, ProtocolPrefix: "/other"})
	for _, h := range []*host.Host{worker, asker, stranger} {
		run(t, h)
	}
	eventually(t, 15*time.Second, "the worker is found", func() bool {
		f := asker.Found()
		return len(f) == 1 && f[0].ID == worker.ID() && f[0].Source == "beacon"
	})
	if err := asker.Connect(t.Context(), peer.AddrInfo{ID: worker.ID()}); err != nil {
		t.Error(err)
	}
	if len(worker.Found())+len(stranger.Found()) > 0 {
		t.Errorf("the worker found %v, and one of another network %v", worker.Found(), stranger.Found())
	}
	if _, err := host.New(host.Config{StateDir: t.TempDir(), Beacon: &discovery.BeaconConfig{Mode: "loud"}}); err == nil {
		t.Error("a mode that does not exist was accepted")
	}
}

// However many addresses somebody in the network makes up for a peer, the one that was given is
// dialled in time.
func TestMadeUpAddressesHoldUpNobody(t *testing.T) {
	b := newHost(t, host.Config{DHT: host.DHTOff})
	a := newHost(t, host.Config{DHT: host.DHTOff, Connections: -1})
	run(t, a)
	trap := silent(t, b.ID(), 32)
	for _, part := range [][]multiaddr.Multiaddr{trap.Addrs[:16], trap.Addrs[16:]} {
		a.Report(peer.AddrInfo{ID: b.ID(), Addrs: part})
		eventually(t, 5*time.Second, "the made-up addresses to be known", func() bool {
			return slices.ContainsFunc(a.Peerstore().Addrs(b.ID()), part[0].Equal)
		})
	}
	if n := len(a.Peerstore().Addrs(b.ID())); n > 16 {
		t.Errorf("%d made-up addresses are kept", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := a.Connect(ctx, addrInfo(b)); err != nil {
		t.Error(err)
	}
}

// Who connects after Listen and before Run is known to be there.
func TestConnectedBeforeRun(t *testing.T) {
	a, b := newHost(t, host.Config{DHT: host.DHTOff}), newHost(t, host.Config{DHT: host.DHTOff})
	if err := b.Connect(t.Context(), addrInfo(a)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the connection", func() bool { return a.Network().Connectedness(b.ID()) == network.Connected })
	run(t, a)
	eventually(t, 5*time.Second, "its state", func() bool {
		s, ok := a.Standings().Get(b.ID())
		return ok && s.State == keep.Direct
	})
}

// A machine that ends connections at once has no room, and perhaps speaks no other protocol.
func TestCrowdedInWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	h, err := host.New(host.Config{StateDir: t.TempDir(), NoListen: true, DHT: host.DHTOff})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	at := multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
	err = h.Connect(t.Context(), peer.AddrInfo{ID: test.RandPeerIDFatal(t), Addrs: []multiaddr.Multiaddr{at}})
	if err == nil || !strings.Contains(err.Error(), "crowded") {
		t.Errorf("error %v", err)
	}
}
