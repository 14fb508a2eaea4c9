package limits

import (
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// comesFrom is a connection of which only the other end's address is known.
type comesFrom struct {
	network.ConnMultiaddrs
	remote multiaddr.Multiaddr
}

func (c comesFrom) RemoteMultiaddr() multiaddr.Multiaddr { return c.remote }

// One stream too many shuts a peer out, for a minute, and nobody else; its address has few
// connections meanwhile.
func TestWasteShutsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaste(slog.New(slog.DiscardHandler))
		here := comesFrom{remote: multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")}
		for range wasteBurst {
			w.wasted("thief")
		}
		if w.isShutOut("thief", here) {
			t.Fatalf("shut out after %d streams", wasteBurst)
		}
		w.wasted("thief")
		for p, want := range map[peer.ID]bool{"thief": true, "other": false} {
			if got := w.isShutOut(p, here); got != want {
				t.Errorf("%s is shut out: %v", p, got)
			}
		}
		let := 0
		for range 2 * shutOutBurst {
			if !w.crowded(here) {
				let++
			}
		}
		if let != shutOutBurst {
			t.Errorf("%d connections from its address are let in, want %d", let, shutOutBurst)
		}
		for _, other := range []string{"/ip4/192.0.2.2/tcp/1", "/ip4/192.0.2.1/tcp/1/p2p-circuit"} {
			if w.crowded(comesFrom{remote: multiaddr.StringCast(other)}) {
				t.Errorf("%s is refused, too", other)
			}
		}
		time.Sleep(shutOutTime)
		if w.isShutOut("thief", here) || w.crowded(here) {
			t.Error("still shut out after the time")
		}
	})
}

// Streams that a peer opens and resets are counted; those that it has used are not. Too many cost
// it its connections, and it is not let in again at once.
func TestUnusedStreamsAreCounted(t *testing.T) {
	const many = 60
	node := func(listen string) (host.Host, *Limits) {
		l, err := New(Config{MaxPeers: 100, Gater: &Networks{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		h, err := libp2p.New(l.Options(), libp2p.ListenAddrStrings(listen))
		if err != nil {
			t.Fatal(err)
		}
		l.Start(h)
		t.Cleanup(func() {
			l.Close()
			h.Close()
		})
		return h, l
	}
	h, limits := node("/ip4/127.0.0.1/tcp/0")
	other, _ := node("/ip4/127.0.0.1/tcp/0")
	waste := limits.waste
	h.SetStreamHandler("/echo", func(s network.Stream) {
		_, _ = io.Copy(s, s)
		s.Close()
	})
	to := peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	if err := other.Connect(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	wasted := func() int {
		waste.mu.Lock()
		defer waste.mu.Unlock()
		o, ok := waste.peers.Peek(other.ID())
		if !ok {
			return 0
		}
		return wasteBurst - int(o.left.Tokens())
	}
	open := func() network.Stream {
		s, err := other.NewStream(t.Context(), h.ID(), "/echo")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range many {
		s := open()
		_, _ = s.Write([]byte("hello"))
		_ = s.CloseWrite()
		if b, err := io.ReadAll(s); string(b) != "hello" {
			t.Fatalf("read %q, %v", b, err)
		}
		s.Close()
	}
	if n := wasted(); n > many/4 {
		t.Errorf("%d of %d used streams are counted", n, many)
	}
	began, before := time.Now(), wasted()
	for range many {
		open().Reset()
	}
	for wasted()-before == 0 && time.Since(began) < 5*time.Second {
		time.Sleep(time.Millisecond)
	}
	if n := wasted() - before; n == 0 {
		t.Errorf("none of %d streams that were reset is counted", many)
	}

	c := other.Network().ConnsToPeer(h.ID())[0]
	for range 2 * wasteBurst {
		waste.wasted(other.ID())
	}
	for began := time.Now(); !c.IsClosed() && time.Since(began) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if !c.IsClosed() {
		t.Error("it keeps its connection")
	}
	_ = other.Connect(t.Context(), to) // the handshake ends before it is refused
	for began := time.Now(); len(h.Network().ConnsToPeer(other.ID())) > 0 && time.Since(began) < time.Second; {
		time.Sleep(time.Millisecond)
	}
	if len(h.Network().ConnsToPeer(other.ID())) > 0 {
		t.Error("it is let in again at once")
	}
}
