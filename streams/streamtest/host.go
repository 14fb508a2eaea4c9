package streamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"

	"github.com/seed-b490fa12/swarm/streams"
)

// negotiateTimeout is how long an inbound stream may take to name its protocol.
const negotiateTimeout = 10 * time.Second

// Host is a peer in memory. It implements streams.Host. Its methods may be called concurrently.
type Host struct {
	id       peer.ID
	network  *memoryNetwork
	conns    conns
	handlers *msmux.MultistreamMuxer[protocol.ID]
	running  sync.WaitGroup
	closing  sync.Once
}

var _ streams.Host = (*Host)(nil)

// conns are the open connections of a host.
type conns struct {
	nextID atomic.Int64
	mu     sync.Mutex
	open   []*Conn
}

func (c *conns) add(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open, conn)
}

func (c *conns) remove(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = slices.DeleteFunc(c.open, func(o *Conn) bool { return o == conn })
}

// to returns the open connections, to p only unless it is empty.
func (c *conns) to(p peer.ID) (out []network.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		if p == "" || conn.RemotePeer() == p {
			out = append(out, conn)
		}
	}
	return out
}

// NewHost returns a host without connections; see [Connect]. It must be closed.
func NewHost(id peer.ID) *Host {
	h := &Host{id: id, handlers: msmux.NewMultistreamMuxer[protocol.ID]()}
	h.network = newNetwork(h)
	return h
}

// Close closes all connections and waits for the handlers of their streams.
func (h *Host) Close() (err error) {
	h.closing.Do(func() {
		for _, c := range h.conns.to("") {
			c.Close()
		}
		h.running.Wait()
		err = h.network.peers.Close()
	})
	return err
}

// ID returns the peer ID of the host.
func (h *Host) ID() peer.ID { return h.id }

// Network returns the host's view of its connections. Nothing can be dialled or listened on there:
// [Connect] makes connections.
func (h *Host) Network() network.Network { return h.network }

// SetStreamHandlerMatch makes handler serve the protocols that match; id is its name for
// RemoveStreamHandler.
func (h *Host) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handler network.StreamHandler) {
	h.handlers.AddHandlerWithFunc(id, match, func(got protocol.ID, rwc io.ReadWriteCloser) error {
		s := rwc.(*Stream)
		if err := s.SetProtocol(got); err != nil {
			return err
		}
		handler(s)
		return nil
	})
}

// RemoveStreamHandler removes a handler by its name.
func (h *Host) RemoveStreamHandler(id protocol.ID) { h.handlers.RemoveHandler(id) }

// NewStream opens a stream to p over an existing connection, a direct one if there is, and agrees
// on the first of the protocols that p serves.
func (h *Host) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	conn := h.best(ctx, p)
	if conn == nil {
		return nil, fmt.Errorf("open a stream to %s: %w", p, network.ErrNoConn)
	}
	s, err := conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	id, err := msmux.SelectOneOf(ids, s)
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, s.ResetWithError(network.StreamProtocolNegotiationFailed))
	}
	return s, s.SetProtocol(id)
}

func (h *Host) best(ctx context.Context, p peer.ID) (best network.Conn) {
	limitedToo, _ := network.GetAllowLimitedConn(ctx)
	for _, c := range h.conns.to(p) {
		limited := c.Stat().Limited
		if !limited || limitedToo && best == nil {
			best = c
		}
		if !limited {
			break
		}
	}
	return best
}

// accept handles an inbound stream.
func (h *Host) accept(s *Stream) {
	h.running.Go(func() { h.network.handlerOf()(s) })
}

// negotiate reads the protocol of an inbound stream and runs its handler.
func (h *Host) negotiate(s network.Stream) {
	s.SetDeadline(time.Now().Add(negotiateTimeout))
	id, handle, err := h.handlers.Negotiate(s)
	if err != nil {
		s.ResetWithError(network.StreamProtocolNegotiationFailed)
		return
	}
	s.SetDeadline(time.Time{})
	if err := handle(id, s); err != nil {
		s.Reset()
	}
}
