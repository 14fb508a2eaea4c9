package streamtest

import (
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Stream is one end of a stream. It implements network.Stream.
type Stream struct {
	conn     *Conn
	id       string
	stat     network.Stats
	in, out  *half
	other    *Stream
	mu       sync.Mutex // guards protocol
	protocol protocol.ID
}

var _ network.Stream = (*Stream)(nil)

// ID names the stream within the process.
func (s *Stream) ID() string { return s.id }

// Conn returns the connection of this end.
func (s *Stream) Conn() network.Conn { return s.conn }

// Stat returns the direction and the time of opening.
func (s *Stream) Stat() network.Stats { return s.stat }

// Scope returns a scope without limits.
func (s *Stream) Scope() network.StreamScope { return &network.NullScope{} }

// Protocol returns the negotiated protocol.
func (s *Stream) Protocol() protocol.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.protocol
}

// SetProtocol sets what Protocol returns.
func (s *Stream) SetProtocol(id protocol.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.protocol = id
	return nil
}

// Read reads what the other end wrote.
func (s *Stream) Read(p []byte) (int, error) { return s.in.read(p) }

// Write blocks while the other end has a full window unread.
func (s *Stream) Write(p []byte) (int, error) { return s.out.write(p) }

// Close closes both directions at this end.
func (s *Stream) Close() error {
	s.conn.forget(s)
	return errors.Join(s.CloseWrite(), s.CloseRead())
}

// CloseWrite ends what this end writes; the other one reads io.EOF after it.
func (s *Stream) CloseWrite() error {
	s.out.change(func() { s.out.ended = true })
	return nil
}

// CloseRead ends reading at this end; what the other one writes is dropped.
func (s *Stream) CloseRead() error {
	s.in.change(func() { s.in.unwanted, s.in.buf = true, nil })
	return nil
}

// Reset ends the stream at both ends.
func (s *Stream) Reset() error { return s.ResetWithError(network.StreamNoError) }

// ResetWithError ends the stream at both ends, which see the code.
func (s *Stream) ResetWithError(code network.StreamErrorCode) error {
	s.end(&network.StreamError{ErrorCode: code}, &network.StreamError{ErrorCode: code, Remote: true})
	return nil
}

// end gives this end and the other one their errors.
func (s *Stream) end(here, there error) {
	s.in.reset(here, there)
	s.out.reset(there, here)
	s.conn.forget(s)
	s.other.conn.forget(s.other)
}

// SetDeadline sets both deadlines; the zero time is none.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline ends reads that block at t with os.ErrDeadlineExceeded.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.in.change(func() { s.in.readTill = t })
	return nil
}

// SetWriteDeadline ends writes that block at t with os.ErrDeadlineExceeded.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.out.change(func() { s.out.writeTill = t })
	return nil
}
