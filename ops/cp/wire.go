package cp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/streams"
)

// maxMessage bounds a message of a session, in bytes.
const maxMessage = 64 << 10

// wire is one end of a session. One goroutine reads; any may write.
type wire struct {
	conn *streams.Conn
	br   *bufio.Reader
	end  func() // of the pace

	mu sync.Mutex // guards bw
	bw *bufio.Writer

	in, out atomic.Int64 // bytes of contents
	zeros   []byte
}

// newWire returns this end of a session on a connection. It must be closed, or reset.
func newWire(ctx context.Context, conn *streams.Conn) *wire {
	paced, end := conn.Bulk(ctx)
	return &wire{
		conn: conn, br: bufio.NewReaderSize(conn, 64<<10), bw: bufio.NewWriterSize(paced, MaxPiece+64), end: sync.OnceFunc(end),
		zeros: make([]byte, MaxPiece),
	}
}

// close ends the session properly: what was written arrives.
func (w *wire) close() error {
	w.end()
	return lost(w.conn.Close())
}

// reset ends it at once.
func (w *wire) reset() {
	w.end()
	w.conn.Reset()
}

// lost is an error of the connection, for which a copy may go on over the next one, or what the other side
// has ended it for.
func lost(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return streams.Errorf(streams.CodeTimeout, "the machine did not answer in time: %w", err)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return streams.Errorf(streams.CodeUnavailable, "the connection was lost: %w", err)
}

// send writes a message, at once.
func (w *wire) send(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bw.Write(binary.AppendUvarint(w.bw.AvailableBuffer(), uint64(len(text)))) // a fault shows below
	w.bw.Write(text)
	return lost(w.bw.Flush())
}

// receive reads a message. At the proper end of the session it returns io.EOF.
func (w *wire) receive(message interface{ Validate() error }) error {
	n, err := w.number()
	if err != nil {
		return err
	}
	if n == 0 || n > maxMessage {
		return broke("a message of %d bytes, want 1 to %d", n, maxMessage)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(w.br, text); err != nil {
		return lost(err)
	}
	if err := json.Unmarshal(text, message); err != nil {
		return broke("a message that cannot be read: %v", err)
	}
	if err := message.Validate(); err != nil {
		return broke("%v", explained(err).Message)
	}
	return nil
}

// number reads a varint. Before its first byte the end is io.EOF.
func (w *wire) number() (uint64, error) {
	if _, err := w.br.Peek(1); err != nil {
		if err == io.EOF {
			return 0, err
		}
		return 0, lost(err)
	}
	n, err := binary.ReadUvarint(w.br)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err != nil && !isOverflow(err):
		return 0, lost(err)
	case err != nil:
		return 0, broke("a number that is too large")
	}
	return n, nil
}

// isOverflow reports whether a varint has too many bytes, for which package binary has no name.
func isOverflow(err error) bool {
	_, ours := errors.AsType[*streams.Error](err)
	return !ours && err.Error() == "binary: varint overflows a 64-bit integer"
}

// Pieces are what the contents of a file are sent in: twice their length as a varint, and one more where
// all bytes are zero, which are then not sent. A length of 0 is the end.

// piece sends a piece of a file, of MaxPiece bytes at most.
func (w *wire) piece(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := uint64(len(b)) << 1
	empty := allZero(b)
	if empty {
		head |= 1
	}
	w.bw.Write(binary.AppendUvarint(w.bw.AvailableBuffer(), head))
	if empty {
		b = nil
	}
	_, err := w.bw.Write(b)
	w.out.Add(int64(head >> 1))
	return lost(err)
}

// pieces ends the contents of a file, and says what they were.
func (w *wire) pieces(t tail) error {
	w.mu.Lock()
	w.bw.WriteByte(0)
	w.mu.Unlock()
	return w.send(t)
}

// contents reads the contents of a file, of so many bytes at most, in pieces; zeros are told by their
// number alone. An error of take ends nothing: it is returned as refused, and the rest is read over.
func (w *wire) contents(most int64, buf []byte, take func(b []byte, hole bool) error) (t tail, refused, err error) {
	for left := most; ; {
		head, err := w.number()
		if err != nil {
			return t, refused, lost(err)
		}
		n := int64(head >> 1)
		if n == 0 && head == 0 {
			break
		}
		if head > MaxPiece<<1|1 || n == 0 {
			return t, refused, broke("a piece of %d bytes, want 1 to %d", head>>1, MaxPiece)
		}
		if left -= n; left < 0 {
			return t, refused, broke("more than the %d bytes of a file", most)
		}
		b := w.zeros[:n]
		if head&1 == 0 {
			b = buf[:n]
			if _, err := io.ReadFull(w.br, b); err != nil {
				return t, refused, lost(err)
			}
		}
		w.in.Add(n)
		if refused == nil {
			refused = take(b, head&1 == 1)
		}
	}
	err = w.receive(&t)
	return t, refused, lost(err)
}

// Validate wants one of the two.
func (t *tail) Validate() error {
	if (t.SHA256 == nil) == (t.Error == nil) {
		return streams.Errorf(streams.CodeInvalid, "want a hash, or an error")
	}
	return nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return len(b) > 0
}
