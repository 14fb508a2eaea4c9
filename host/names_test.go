package host

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// nameServer answers with one address, once it has one.
type nameServer struct{ ip atomic.Pointer[netip.Addr] }

func (s *nameServer) says(ip string) {
	a := netip.MustParseAddr(ip)
	s.ip.Store(&a)
}

func (s *nameServer) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	for s.ip.Load() == nil {
		if !backoff.Wait(ctx, 10*time.Millisecond) {
			return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
		}
	}
	if network != "ip4" {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return []netip.Addr{*s.ip.Load()}, nil
}

func (s *nameServer) LookupTXT(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

// byName returns a host that asks a name server, and a peer that listens, with the address of the
// peer and the same by name.
func byName(t *testing.T, s *nameServer) (h *Host, p peer.ID, ip, name multiaddr.Multiaddr) {
	t.Helper()
	listener, err := New(Config{StateDir: t.TempDir(), DHT: DHTOff, Listen: []multiaddr.Multiaddr{
		multiaddr.StringCast("/ip4/127.0.0.1/tcp/0"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	if err := listener.Listen(); err != nil {
		t.Fatal(err)
	}
	h, err = New(Config{StateDir: t.TempDir(), DHT: DHTOff, NoListen: true, dns: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	ip = listener.Addrs()[0]
	return h, listener.ID(), ip, multiaddr.StringCast("/dns4/vps.example" + strings.TrimPrefix(ip.String(), "/ip4/127.0.0.1"))
}

func connect(t *testing.T, h *Host, most time.Duration, p peer.ID, addrs ...multiaddr.Multiaddr) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	return h.Connect(ctx, peer.AddrInfo{ID: p, Addrs: addrs})
}

// A name server that does not answer holds up no address that is known without it, and is to blame
// where none is.
func TestSilentNameServer(t *testing.T) {
	h, p, ip, name := byName(t, new(nameServer))
	err := connect(t, h, 300*time.Millisecond, p, name)
	if !errors.Is(err, ErrNameServer) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), name.String()+" (the name server does not answer)") {
		t.Errorf("got %v, want that the name server does not answer", err)
	}
	start := time.Now()
	if err := connect(t, h, 2*time.Second, p, name, ip); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("connected after %v", took)
	}
}

// A name that is known later than the dial began is dialled then.
func TestNameAnswersLate(t *testing.T) {
	s := new(nameServer)
	h, p, _, name := byName(t, s)
	time.AfterFunc(100*time.Millisecond, func() { s.says("127.0.0.1") })
	if err := connect(t, h, 2*time.Second, p, name); err != nil {
		t.Error(err)
	}
}

// A name that is not known is not a silent server.
func TestNameUnknown(t *testing.T) {
	s := new(nameServer)
	s.says("127.0.0.1")
	h, p, _, name := byName(t, s)
	if err := connect(t, h, 2*time.Second, p, multiaddr.StringCast(strings.Replace(name.String(), "dns4", "dns6", 1))); !errors.Is(err, ErrUnknownName) || errors.Is(err, ErrNameServer) {
		t.Errorf("got %v, want %v", err, ErrUnknownName)
	}
}

// connAt is a connection to where its peer no longer is.
type connAt struct {
	network.Conn
	addr multiaddr.Multiaddr
}

func (c connAt) RemoteMultiaddr() multiaddr.Multiaddr { return c.addr }

// A peer that is silent is looked for where its name says that it is by now.
func TestElsewhereByName(t *testing.T) {
	s := new(nameServer)
	s.says("127.0.0.1")
	h, p, ip, name := byName(t, s)
	if err := connect(t, h, 2*time.Second, p, ip); err != nil {
		t.Fatal(err)
	}
	old := connAt{h.BestConn(p), multiaddr.StringCast("/ip4/192.0.2.1/tcp/4747")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if h.Paths().Elsewhere(ctx, old) {
		t.Fatal("it was found without a name")
	}
	h.Peerstore().AddAddr(p, name, time.Hour)
	if !h.Paths().Elsewhere(ctx, old) {
		t.Error("it was not found by its name")
	}
}
