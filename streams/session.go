package streams

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Peer is the remote side of a request, as the connection proves it.
type Peer struct {
	ID peer.ID
	// Version is the version of the family that was agreed on for this stream.
	Version string
	// Member reports whether Config.Member knew the peer when it opened the stream.
	Member bool
	// ClockOffset is how far the peer's clock is ahead of ours, as measured in the handshake of
	// this connection; 0 before it.
	ClockOffset time.Duration
	// Conn is the connection the request came over.
	Conn network.Conn
}

// session is what the mux knows of one connection.
type session struct {
	sender
	conn   network.Conn
	offset atomic.Int64 // nanoseconds, see Peer.ClockOffset
	ctx    context.Context
	cancel context.CancelFunc
}

// sessions are the open connections. They are made at the first stream and go with the connection.
type sessions struct {
	mu   sync.Mutex
	open map[network.Conn]*session
}

// of returns the session of c; base is the parent of its context.
func (s *sessions) of(base context.Context, c network.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss, ok := s.open[c]; ok {
		return ss
	}
	if s.open == nil {
		s.open = make(map[network.Conn]*session)
	}
	ss := &session{sender: newSender(c.RemotePeer()), conn: c}
	ss.ctx, ss.cancel = context.WithCancel(base)
	if c.IsClosed() {
		// Its end was notified already: it must not stay in the table.
		ss.cancel()
		return ss
	}
	s.open[c] = ss
	return ss
}

func (s *sessions) remove(c network.Conn) {
	s.mu.Lock()
	ss := s.open[c]
	delete(s.open, c)
	s.mu.Unlock()
	if ss != nil {
		ss.cancel()
	}
}
