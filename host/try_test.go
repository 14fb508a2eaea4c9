package host_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

// A name is resolved before it is tried, as Connect does it; a transport by itself takes none.
func TestTryName(t *testing.T) {
	listener := newHost(t, host.Config{DHT: host.DHTOff, Listen: listenLoopback[:1]})
	port, err := listener.Addrs()[0].ValueForProtocol(multiaddr.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, host.Config{DHT: host.DHTOff, NoListen: true})
	name, bad := "/dns4/localhost/tcp/"+port, "/dns4/rig.invalid/tcp/"+port
	if err := h.Book().Put(book.Entry{Peer: listener.ID(), Addrs: []string{name, bad}}); err != nil {
		t.Fatal(err)
	}
	tried := h.Try(t.Context(), listener.ID())
	if len(tried) != 2 {
		t.Fatalf("tried %+v, want an address and a name without one", tried)
	}
	for _, a := range tried {
		switch {
		case a.Name == nil: // of the one that is not found there is no more to tell
			if a.Addr.String() != bad || !errors.Is(a.Err, host.ErrUnknownName) {
				t.Errorf("%s: %v, want %v", a.Addr, a.Err, host.ErrUnknownName)
			}
		case a.Name.String() != name || !a.Addr.Equal(listener.Addrs()[0]) || a.Err != nil:
			t.Errorf("tried %+v, want an answer at %s", a, listener.Addrs()[0])
		}
	}
}

// What this node's settings forbid is not dialled, and told as such: not that the peer is offline,
// nor that it answers.
func TestTryDenied(t *testing.T) {
	listener := newHost(t, host.Config{DHT: host.DHTOff})
	var met atomic.Int32
	listener.Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { met.Add(1) }})
	tests := []struct {
		name string
		cfg  host.Config
		want string
	}{
		{"a denied network", host.Config{DenyNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "denies that network"},
		{"a network that is not allowed", host.Config{AllowNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, "none of the networks"},
		{"the gater", host.Config{Gater: &natOf{peer: listener.ID()}}, "does not connect there"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.DHT, tc.cfg.NoListen = host.DHTOff, true
			h := newHost(t, tc.cfg)
			h.Peerstore().AddAddrs(listener.ID(), listener.Addrs(), time.Hour)
			tried := h.Try(t.Context(), listener.ID())
			if len(tried) != len(listener.Addrs()) {
				t.Errorf("tried %d of %d addresses", len(tried), len(listener.Addrs()))
			}
			for _, a := range tried {
				if !errors.Is(a.Err, host.ErrDenied) || !strings.Contains(a.Err.Error(), tc.want) {
					t.Errorf("%+v, want it denied for %s", a, tc.want)
				}
			}
			if err := h.Connect(t.Context(), addrInfo(listener)); err == nil || !strings.Contains(err.Error(), "own settings forbid") {
				t.Errorf("connect: %v", err)
			}
		})
	}
	if n := met.Load(); n > 0 {
		t.Errorf("%d connections in spite of all", n)
	}
}

// Once an address has answered, no more is known of one that has not, over TCP or QUIC, than that.
func TestTrySettled(t *testing.T) {
	listener := newHost(t, host.Config{DHT: host.DHTOff, Listen: listenLoopback[:1]})
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	h := newHost(t, host.Config{DHT: host.DHTOff, NoListen: true})
	at := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", silent.LocalAddr().(*net.UDPAddr).Port)
	if err := h.Book().Put(book.Entry{Peer: listener.ID(), Addrs: []string{listener.Addrs()[0].String(), at}}); err != nil {
		t.Fatal(err)
	}
	tried := h.Try(t.Context(), listener.ID())
	for _, a := range tried {
		if a.Addr.String() == at && (a.Err == nil || a.Err.Error() != "no answer so far") {
			t.Errorf("told: %v", a.Err)
		}
	}
	if len(tried) != 2 {
		t.Errorf("tried %+v", tried)
	}
}
