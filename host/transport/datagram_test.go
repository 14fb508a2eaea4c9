package transport

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// link passes datagrams on between whoever sends to it and a machine, and drops the larger ones.
type link struct {
	in, out *net.UDPConn
	most    atomic.Int64    // bytes; larger ones are dropped
	largest atomic.Int64    // of those that were sent
	firsts  [2]atomic.Int64 // the first one to the machine, and the first one from it
	ends    sync.WaitGroup
}

func newLink(t *testing.T, to multiaddr.Multiaddr, most int64) (*link, multiaddr.Multiaddr) {
	t.Helper()
	_, at, err := manet.DialArgs(to)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := net.ResolveUDPAddr("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{}
	l.most.Store(most)
	if l.in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if l.out, err = net.DialUDP("udp4", nil, addr); err != nil {
		t.Fatal(err)
	}
	var caller atomic.Pointer[net.UDPAddr]
	l.ends.Go(func() {
		l.pass(func(b []byte) (int, error) {
			n, from, err := l.in.ReadFromUDP(b)
			caller.Store(from)
			return n, err
		}, l.out.Write, &l.firsts[0])
	})
	l.ends.Go(func() {
		l.pass(l.out.Read, func(b []byte) (int, error) { return l.in.WriteToUDP(b, caller.Load()) }, &l.firsts[1])
	})
	t.Cleanup(func() {
		l.in.Close()
		l.out.Close()
		l.ends.Wait()
	})
	here, err := manet.FromNetAddr(l.in.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	return l, here.Encapsulate(multiaddr.StringCast("/quic-v1"))
}

// acknowledgement is more than a datagram has that only acknowledges another one, in bytes.
const acknowledgement = 200

func (l *link) pass(read, write func([]byte) (int, error), first *atomic.Int64) {
	b := make([]byte, 2048)
	for {
		n, err := read(b)
		if err != nil {
			return
		}
		if n > acknowledgement {
			first.CompareAndSwap(0, int64(n))
		}
		l.largest.Store(max(l.largest.Load(), int64(n)))
		if int64(n) <= l.most.Load() {
			write(b[:n])
		}
	}
}

const echo = "/test/echo"

// over connects two nodes over a link that carries any datagram, or so large ones, and returns it
// and what sends so many bytes there and back.
func over(t *testing.T, most int64, options ...libp2p.Option) (*link, func(bytes int) error) {
	t.Helper()
	options = append(options, libp2p.DisableMetrics())
	server, err := libp2p.New(append(options, libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	server.SetStreamHandler(echo, func(s network.Stream) {
		defer s.Close()
		io.Copy(s, s)
	})
	client, err := libp2p.New(append(options, libp2p.NoListenAddrs)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	l, at := newLink(t, server.Addrs()[0], most)
	return l, func(bytes int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := client.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: []multiaddr.Multiaddr{at}}); err != nil {
			return err
		}
		s, err := client.NewStream(ctx, server.ID(), echo)
		if err != nil {
			return err
		}
		defer s.Close()
		s.SetDeadline(time.Now().Add(10 * time.Second))
		go func() {
			s.Write(make([]byte, bytes))
			s.CloseWrite()
		}()
		_, err = io.Copy(io.Discard, s)
		return err
	}
}

const noBound = 1 << 16

// QUIC gets through a link that carries no more than any link has to.
func TestDatagramsFitAnyLink(t *testing.T) {
	l, send := over(t, mostDatagram, Datagrams)
	if err := send(1 << 20); err != nil {
		t.Error(err)
	}
	if got := l.largest.Load(); got > mostDatagram {
		t.Errorf("a datagram had %d bytes, want %d at most", got, mostDatagram)
	}
	for i, end := range []string{"that dials", "that is dialled"} {
		// One of 1,200 is what the library falls back to after it has lost one that was too large.
		if got := l.firsts[i].Load(); got != mostDatagram {
			t.Errorf("the end %s begins with a datagram of %d bytes, want %d", end, got, mostDatagram)
		}
	}
}

// A connection outlives its path for one that carries less.
func TestPathCarriesLess(t *testing.T) {
	l, send := over(t, noBound, Datagrams)
	if err := send(1 << 20); err != nil {
		t.Fatal(err)
	}
	l.most.Store(mostDatagram)
	if err := send(1 << 20); err != nil {
		t.Error(err)
	}
}

// TestLibraryFillsTheLink: Datagrams may go when the library begins with smaller datagrams by itself.
func TestLibraryFillsTheLink(t *testing.T) {
	l, send := over(t, noBound)
	if err := send(1 << 20); err != nil {
		t.Fatal(err)
	}
	if got := l.largest.Load(); got <= mostDatagram {
		t.Errorf("the largest datagram has %d bytes", got)
	}
}
