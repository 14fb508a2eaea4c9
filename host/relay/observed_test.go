package relay

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// router passes datagrams on between one machine inside and one outside, from an outer socket that can
// be another one from one moment to the next.
type router struct {
	inner *net.UDPConn
	outer atomic.Pointer[net.UDPConn]
	from  atomic.Pointer[net.UDPAddr] // the machine inside
	to    *net.UDPAddr                // the machine outside
	pumps sync.WaitGroup
}

func newSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// move takes another outer socket.
func (r *router) move(t *testing.T) *net.UDPAddr {
	outer := newSocket(t)
	if before := r.outer.Swap(outer); before != nil {
		before.Close()
	}
	r.pumps.Go(func() {
		for buf := make([]byte, 1<<16); ; {
			n, _, err := outer.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = r.inner.WriteToUDP(buf[:n], r.from.Load())
		}
	})
	return outer.LocalAddr().(*net.UDPAddr)
}

func newRouter(t *testing.T, to *net.UDPAddr) *router {
	r := &router{inner: newSocket(t), to: to}
	t.Cleanup(func() {
		r.inner.Close()
		if c := r.outer.Load(); c != nil {
			c.Close()
		}
		r.pumps.Wait()
	})
	r.pumps.Go(func() {
		for buf := make([]byte, 1<<16); ; {
			n, from, err := r.inner.ReadFromUDP(buf)
			if err != nil {
				return
			}
			r.from.Store(from)
			_, _ = r.outer.Load().WriteToUDP(buf[:n], r.to)
		}
	})
	return r
}

// TestObservedFollows: a relay tells a node where it sees that, and tells it anew when the router in
// between has got another address, although the connection lives on.
func TestObservedFollows(t *testing.T) {
	r, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.SetStreamHandler(ObservedProtocol, TellObserved(ctx))
	at, _, err := quicreuse.FromQuicMultiaddr(r.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	nat := newRouter(t, at)
	first := nat.move(t)
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	by, err := quicreuse.ToQuicMultiaddr(nat.inner.LocalAddr(), quic.Version1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(ctx, peer.AddrInfo{ID: r.ID(), Addrs: []multiaddr.Multiaddr{by}}); err != nil {
		t.Fatal(err)
	}
	seen := make(chan multiaddr.Multiaddr)
	c := h.Network().ConnsToPeer(r.ID())[0]
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		_ = followObserved(ctx, c, func(_ network.Conn, at multiaddr.Multiaddr) {
			select {
			case seen <- at:
			case <-ctx.Done():
			}
		})
	})
	expect := func(want *net.UDPAddr) {
		t.Helper()
		select {
		case at := <-seen:
			got, _, err := quicreuse.FromQuicMultiaddr(at)
			if err != nil || got.Port != want.Port {
				t.Errorf("seen at %v, want %v", at, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("it is not told that it is seen at %v", want)
		}
	}
	expect(first)
	second := nat.move(t)
	sending, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	for range 3 { // something has to be sent from there
		if s, err := c.NewStream(sending); err == nil {
			_, _ = s.Write([]byte{0})
			s.Reset()
		}
	}
	expect(second)
	if c.IsClosed() {
		t.Error("the connection has not outlived the move")
	}
}
