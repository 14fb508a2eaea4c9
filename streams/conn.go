package streams

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams/bulk"
)

// How long and for how much a closed connection goes on reading, so that what was written last
// arrives although the peer still sends.
const (
	lingerFor   = 5 * time.Second
	lingerBytes = 1 << 20
)

// Addr is the address of an end of a [Conn]: a peer, whose key the connection under it has proven.
type Addr struct{ Peer peer.ID }

// Network returns "swarm".
func (Addr) Network() string { return "swarm" }

// String returns the peer ID.
func (a Addr) String() string { return a.Peer.String() }

// Conn is one end of a connection that a [Duplex] or [DuplexFor] opened: a net.Conn over a stream, with the
// deadlines of one, and CloseWrite for a half-close. Its methods may be called concurrently.
type Conn struct {
	stream        network.Stream
	local, remote Addr
	bulks         *bulk.Links
	// ended, if set, tells the listening side that Close was called, which then lingers.
	ended func()
	// keep, set by a listener, reports whether the connection was still open when it was accepted.
	keep func() bool

	reading sync.Mutex // held while somebody reads
	rest    []byte     // what came with the reply, and what Lost has read
	// writing is held while somebody writes: of two writers at once yamux sends more than the peer
	// has room for, which ends the connection that all streams share.
	writing sync.Mutex

	mu     sync.Mutex // guards what follows, and deadlines
	closed bool
	cause  error // of reads and writes after the end
}

var _ net.Conn = (*Conn)(nil)

// newConn makes a connection of a stream and of what br has read of it ahead.
func newConn(s network.Stream, br *bufio.Reader, self peer.ID, bulks *bulk.Links, ended func()) *Conn {
	c := &Conn{stream: s, local: Addr{self}, remote: Addr{s.Conn().RemotePeer()}, bulks: bulks, ended: ended}
	if n := br.Buffered(); n > 0 {
		ahead, _ := br.Peek(n) // is there
		c.rest = append(c.rest, ahead...)
	}
	return c
}

// Peer returns who is at the other end.
func (c *Conn) Peer() peer.ID { return c.remote.Peer }

// LocalAddr returns this node's [Addr].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads what the peer has written. At the end of that it returns io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if err := c.over(); err != nil {
		return 0, c.fault("read", err)
	}
	if len(c.rest) > 0 {
		n := copy(b, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err := c.stream.Read(b)
	return n, c.fault("read", err)
}

// How long Lost looks, so that to make room for the peer, as each read may, is not cut off, and how much
// it reads ahead for that in all.
const (
	lookFor   = 100 * time.Millisecond
	mostAhead = 64 << 10
)

// Lost returns an error when the peer has reset the connection or is gone, also while what it sent
// before waits to be read; where somebody reads, that tells, and Lost returns nil. It reads a byte ahead
// to find out, takes up to 0.1 s, and ends the deadline of reads.
func (c *Conn) Lost() error {
	if !c.reading.TryLock() {
		return nil
	}
	defer c.reading.Unlock()
	if len(c.rest) >= mostAhead {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(lookFor)); err != nil {
		return err
	}
	defer c.SetReadDeadline(time.Time{})
	var next [1]byte
	n, err := c.stream.Read(next[:])
	c.rest = append(c.rest, next[:n]...)
	if late, ok := errors.AsType[net.Error](err); err == io.EOF || ok && late.Timeout() {
		return nil
	}
	return c.fault("read", err)
}

// Write writes to the peer. It waits while the peer is slow: set a deadline.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.over(); err != nil {
		return 0, c.fault("write", err)
	}
	n, err := c.stream.Write(b)
	return n, c.fault("write", err)
}

// Bulk returns a writer for much at once, behind which nothing else that uses the link waits for long: it
// waits itself, until ctx ends. end must be called when no more is written by it.
func (c *Conn) Bulk(ctx context.Context) (w io.Writer, end func()) {
	on := c.stream.Conn()
	return bulk.NewWriter(ctx, c, c.bulks.Begin(on)), func() { c.bulks.End(on) }
}

// CloseWrite tells the peer that no more will be written; it can still be read from.
func (c *Conn) CloseWrite() error {
	if err := c.over(); err != nil {
		return c.fault("close", err)
	}
	return c.fault("close", c.stream.CloseWrite())
}

// Close ends the connection. What was written before still arrives. It may be called again.
func (c *Conn) Close() error {
	if !c.finish(net.ErrClosed) {
		return nil
	}
	err := c.stream.CloseWrite()
	if c.ended != nil {
		c.ended()
	} else {
		go c.linger()
	}
	return c.fault("close", err)
}

// Reset ends the connection at once, in both directions: what was written before may not arrive, and the
// peer is told by an error that it was no proper end. It may be called again, and after Close does
// nothing.
func (c *Conn) Reset() error {
	if !c.finish(net.ErrClosed) {
		return nil
	}
	err := c.stream.Reset()
	if c.ended != nil {
		c.ended()
	}
	return c.fault("reset", err)
}

// abort ends the connection at once; cause is what this side gets to know.
func (c *Conn) abort(code network.StreamErrorCode, cause error) {
	c.finish(cause)
	c.stream.ResetWithError(code)
}

// finish ends all reads and writes with cause. It returns false when they had ended before.
func (c *Conn) finish(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed, c.cause = true, cause
	c.stream.SetDeadline(past)
	return true
}

func (c *Conn) isClosed() bool { return c.over() != nil }

// over returns why the connection has ended on this side, nil if it has not.
func (c *Conn) over() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// linger reads on for a moment after Close, until the peer has closed its side, too: a peer that
// still writes would wait for room for ever.
func (c *Conn) linger() {
	c.reading.Lock() // the last reader was woken
	defer c.reading.Unlock()
	c.stream.SetReadDeadline(time.Now().Add(lingerFor))
	if n, err := io.Copy(io.Discard, io.LimitReader(c.stream, lingerBytes)); err != nil || n == lingerBytes {
		c.stream.ResetWithError(network.StreamProtocolViolation)
		return
	}
	c.stream.Close()
}

// SetDeadline sets the deadlines of reads and writes.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.deadline(func() error { return c.stream.SetDeadline(t) })
}

// SetReadDeadline sets the deadline of reads, also of one under way.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.deadline(func() error { return c.stream.SetReadDeadline(t) })
}

// SetWriteDeadline sets the deadline of writes, also of one under way.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.deadline(func() error { return c.stream.SetWriteDeadline(t) })
}

func (c *Conn) deadline(set func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	if err := set(); err != nil {
		return c.opError("set", err)
	}
	return nil
}

// fault puts an error of the stream in the terms of package net.
func (c *Conn) fault(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if cause := c.over(); cause != nil {
		return c.opError(op, cause)
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return c.opError(op, os.ErrDeadlineExceeded)
	}
	if code := resetCode(err); code != 0 {
		err = wrap(code, err, "%s", resetWords(c.remote.Peer, code))
	}
	return c.opError(op, err)
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: err}
}
