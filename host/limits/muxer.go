package limits

// A repair of github.com/libp2p/go-libp2p v0.51.0: what strangers send is kept in memory, a whole
// window of each stream, before anybody has decided to read it. No issue is known: see
// docs/upstream.md. The file may go when a peer's window can depend on the peer.

import (
	"context"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// What is read of a stranger over TCP and WebSocket. A stream's first window is 256 KiB by the
// muxer's specification, and all of it is kept in memory until the handler of the stream reads it:
// on a busy machine with many strangers that is late.
const (
	strangerRate  = 256 << 10 // bytes a second
	strangerBurst = 16 << 10  // bytes: a greeting
	// What is read of all strangers together, beyond the greeting of each.
	strangersRate  = 2 << 20 // bytes a second
	strangersBurst = 1 << 20 // bytes
)

// muxerPatience is how long a write, or the answer to a keepalive, may take. The library's 10 s are
// less than a full link of 128 kbit/s needs for what waits in its queue; whether a connection lives
// is asked by package liveness, much sooner where it matters.
const muxerPatience = 30 * time.Second

// patient is the library's yamux, with muxerPatience.
func patient() network.Multiplexer {
	t := *yamux.DefaultTransport
	t.ConnectionWriteTimeout = muxerPatience
	return &t
}

// newMuxer is yamux, which reads slowly from peers that have dialled this node and are no members.
// A nil member makes no difference between peers.
func newMuxer(member func(peer.ID) bool) network.Multiplexer {
	muxer := liveness.Metered(patient())
	if member == nil {
		return muxer
	}
	return &memberMuxer{muxer, member, newStrangersLimit()}
}

type memberMuxer struct {
	network.Multiplexer
	member func(peer.ID) bool
	all    *rate.Limiter // of all strangers together
}

func newStrangersLimit() *rate.Limiter { return rate.NewLimiter(strangersRate, strangersBurst) }

func (m *memberMuxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	if s, ok := c.(interface{ RemotePeer() peer.ID }); ok && isServer {
		c = newSlowConn(c, func() bool { return m.member(s.RemotePeer()) }, m.all)
	}
	return m.Multiplexer.NewConn(c, isServer, scope)
}

// slowConn reads slowly until its peer is a member.
type slowConn struct {
	net.Conn
	member func() bool
	free   bool // of the reader alone: the peer is a member
	limit  *rate.Limiter
	all    *rate.Limiter
	met    int             // bytes of the greeting that were read; of the reader alone
	life   context.Context // ends with Close
	end    context.CancelFunc
}

func newSlowConn(c net.Conn, member func() bool, all *rate.Limiter) *slowConn {
	s := &slowConn{Conn: c, member: member, limit: rate.NewLimiter(strangerRate, strangerBurst), all: all}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

func (s *slowConn) Read(b []byte) (int, error) {
	if s.free {
		return s.Conn.Read(b)
	}
	n, err := s.Conn.Read(b[:min(len(b), strangerBurst)])
	if s.free = s.member(); s.free || n == 0 {
		return n, err
	}
	now := time.Now()
	wait := s.limit.ReserveN(now, n).Delay()
	greeting := min(n, strangerBurst-s.met)
	s.met += greeting
	wait = max(wait, s.all.ReserveN(now, n-greeting).Delay())
	backoff.Wait(s.life, wait) // Close ends it
	return n, err
}

func (s *slowConn) Close() error {
	s.end()
	return s.Conn.Close()
}
