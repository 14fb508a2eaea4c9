package liveness

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/quic-go/quic-go"
)

// received is how much has arrived over c: packets over QUIC, else bytes, and 0 where the muxer is
// not one of Metered.
func received(c network.Conn) uint64 {
	inner, ok := c.(interface{ As(any) bool })
	if !ok {
		return 0
	}
	var q *quic.Conn
	var m *meter
	switch {
	case inner.As(&q):
		return q.ConnectionStats().PacketsReceived
	case inner.As(&m):
		return m.read.Load()
	}
	return 0
}

// Lost is how many packets were sent over c, and how many of these were lost; both are 0 where c does
// not go over QUIC.
func Lost(c network.Conn) (sent, lost uint64) {
	var q *quic.Conn
	if inner, ok := c.(interface{ As(any) bool }); !ok || !inner.As(&q) {
		return 0, 0
	}
	stats := q.ConnectionStats()
	return stats.PacketsSent, stats.PacketsLost
}

// roundTrip is by when nearly all packets over c are acknowledged (RFC 9002, section 6.2.1), and the
// quickest was; both are 0 where c does not go over QUIC.
func roundTrip(c network.Conn) (usual, least time.Duration) {
	var q *quic.Conn
	if inner, ok := c.(interface{ As(any) bool }); !ok || !inner.As(&q) {
		return 0, 0
	}
	stats := q.ConnectionStats()
	return stats.SmoothedRTT + 4*stats.MeanDeviation, stats.MinRTT
}

// Metered returns a muxer whose connections count what arrives, which QUIC does by itself.
func Metered(m network.Multiplexer) network.Multiplexer { return meteredMuxer{m} }

type meteredMuxer struct{ network.Multiplexer }

func (m meteredMuxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	counted := &meter{Conn: c}
	muxed, err := m.Multiplexer.NewConn(counted, isServer, scope)
	if err != nil {
		return nil, err
	}
	return &meteredConn{muxed, counted}, nil
}

// meter counts the bytes that are read from a connection.
type meter struct {
	net.Conn
	read atomic.Uint64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.read.Add(uint64(n))
	return n, err
}

// meteredConn is a muxed connection that gives out its meter.
type meteredConn struct {
	network.MuxedConn
	meter *meter
}

func (c *meteredConn) As(target any) bool {
	if m, ok := target.(**meter); ok {
		*m = c.meter
		return true
	}
	return c.MuxedConn.As(target)
}
