package transport

import (
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	"github.com/quic-go/quic-go"
)

// socketConn is a connection that was dialled over TCP, and gives out its socket.
type socketConn struct {
	coretransport.CapableConn
	socket syscall.Conn
}

// As is part of network.Conn.
func (c socketConn) As(target any) bool {
	if s, ok := target.(*syscall.Conn); ok {
		*s = c.socket
		return true
	}
	return c.CapableConn.As(target)
}

// Line returns what is known here of the line to the other end of a connection: by how much what waits
// in queues, here and on the way, adds to a round trip, and how many packets were sent again. Of a
// circuit, of WebSocket, and over TCP of what was accepted or has another kernel than Linux nothing is.
func Line(c network.Conn) (queued time.Duration, resent uint64, known bool) {
	var q *quic.Conn
	if c.As(&q) {
		s := q.ConnectionStats()
		return s.SmoothedRTT - s.MinRTT, s.PacketsLost, s.MinRTT > 0
	}
	var s syscall.Conn
	if !c.As(&s) {
		return 0, 0, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	_ = raw.Control(func(fd uintptr) { queued, resent, known = kernelLine(int(fd)) }) // closed: nothing is known
	return queued, resent, known
}
