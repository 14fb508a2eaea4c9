package relay

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
)

// path is a connection that is only looked at.
type path struct {
	network.Conn
	addr   string
	age    time.Duration
	dir    network.Direction
	closed bool

	streams []network.Stream
}

func (p *path) RemotePeer() peer.ID                  { return somebody }
func (p *path) RemoteMultiaddr() multiaddr.Multiaddr { return multiaddr.StringCast(p.addr) }
func (p *path) Close() error                         { p.closed = true; return nil }
func (p *path) GetStreams() []network.Stream         { return p.streams }
func (p *path) IsClosed() bool                       { return p.closed }
func (p *path) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: p.dir, Opened: time.Now().Add(-p.age)}}
}

const (
	direct  = "/ip4/203.0.113.7/udp/4747/quic-v1"
	circuit = "/ip4/203.0.113.9/tcp/4747/p2p/" + somebody + "/p2p-circuit"
)

// TestLeave: a circuit gives way to a direct path, but not one that the peer has just opened beside an
// older path, which it may have lost.
func TestLeave(t *testing.T) {
	const old, young = time.Minute, time.Second
	for _, test := range []struct {
		name           string
		direct, relay  time.Duration
		busy, leavesIt bool
	}{
		{"both are old", old, old, false, true},
		{"the direct path is new", young, old, false, false},
		{"the circuit is new", old, young, false, false},
		{"the circuit is in use", old, old, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, c := &path{addr: direct, age: test.direct}, &path{addr: circuit, age: test.relay}
			i := NewImprover(nil, ImproverConfig{Busy: func(network.Conn) bool { return test.busy }, Logger: slog.New(slog.DiscardHandler)})
			if left := i.leave([]network.Conn{d, c}, []network.Conn{c}); left != test.leavesIt || c.closed != test.leavesIt || d.closed {
				t.Errorf("left %v, circuit closed %v, direct closed %v, want %v", left, c.closed, d.closed, test.leavesIt)
			}
		})
	}
}

// noConns is a host that has no connections, and keeps the handler that it is given.
type noConns struct {
	corehost.Host
	handle network.StreamHandler
}

func (h *noConns) SetStreamHandler(_ protocol.ID, handle network.StreamHandler) { h.handle = handle }
func (h *noConns) Network() network.Network                                     { return noNetwork{} }

type noNetwork struct{ network.Network }

func (noNetwork) ConnsToPeer(peer.ID) []network.Conn { return nil }

type streamOf struct {
	network.Stream
	conn  network.Conn
	reset chan struct{}
}

func (s *streamOf) Conn() network.Conn { return s.conn }
func (s *streamOf) Reset() error       { close(s.reset); return nil }

// TestEitherEndPunches: the library refuses streams of the peer that has opened the circuit; here it
// gets to see them as those of the other one. When the context ends, so do they.
func TestEitherEndPunches(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var kept noConns
	var got network.Stream
	(&eitherEnd{&kept, ctx, newRounds()}).SetStreamHandler("/libp2p/dcutr", func(s network.Stream) { got = s })
	s := &streamOf{conn: &path{addr: circuit, dir: network.DirInbound}, reset: make(chan struct{})}
	kept.handle(s)
	if got.Conn().Stat().Direction != network.DirOutbound || got.Conn().RemoteMultiaddr().String() != circuit {
		t.Errorf("the library sees %v of %v", got.Conn().Stat().Direction, got.Conn().RemoteMultiaddr())
	}
	cancel()
	select {
	case <-s.reset:
	case <-time.After(10 * time.Second):
		t.Error("the stream outlives its context")
	}
}

// TestPunchDialsNothingElse: the library's first step, which waits for addresses where nobody answers,
// is left out.
func TestPunchDialsNothingElse(t *testing.T) {
	if err := (&eitherEnd{&noConns{}, t.Context(), newRounds()}).Connect(t.Context(), peer.AddrInfo{ID: somebody}); err != errDialled {
		t.Errorf("got %v, want %v", err, errDialled)
	}
}
