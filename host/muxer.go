package host

import (
	"context"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"golang.org/x/time/rate"
)

// What is read of a stranger over TCP and WebSocket. A stream's first window is 256 KiB by the muxer's specification, and
// all of it is kept in memory until the handler of the stream reads it: on a busy machine with many strangers that is late.
const (
	strangerRate  = 256 << 10 // bytes a second
	strangerBurst = 16 << 10  // bytes: a greeting
)

// newMuxer is yamux, which reads slowly of those who dialled this node and are no members. A nil member makes no difference
// between peers.
func newMuxer(member func(peer.ID) bool) network.Multiplexer {
	if member == nil {
		return yamux.DefaultTransport
	}
	return &memberMuxer{yamux.DefaultTransport, member}
}

type memberMuxer struct {
	network.Multiplexer
	member func(peer.ID) bool
}

func (m *memberMuxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	if s, ok := c.(interface{ RemotePeer() peer.ID }); ok && isServer {
		c = newSlowConn(c, func() bool { return m.member(s.RemotePeer()) })
	}
	return m.Multiplexer.NewConn(c, isServer, scope)
}

// slowConn reads slowly until its peer is a member.
type slowConn struct {
	net.Conn
	member func() bool
	free   bool // of the reader alone: the peer is a member
	limit  *rate.Limiter
	life   context.Context // ends with Close
	end    context.CancelFunc
}

func newSlowConn(c net.Conn, member func() bool) *slowConn {
	s := &slowConn{Conn: c, member: member, limit: rate.NewLimiter(strangerRate, strangerBurst)}
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
	if wait := s.limit.ReserveN(time.Now(), n).Delay(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.life.Done():
		}
	}
	return n, err
}

func (s *slowConn) Close() error {
	s.end()
	return s.Conn.Close()
}
