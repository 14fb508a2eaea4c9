package streamtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Conn is one end of a connection. It implements network.Conn.
type Conn struct {
	host    *Host
	other   *Conn
	stat    network.ConnStats
	link    *link
	streams streamSet
}

var _ network.Conn = (*Conn)(nil)

// link is what both ends of a connection share.
type link struct {
	id     int
	nextID atomic.Int64
	mu     sync.Mutex // guards closed, and opening streams against closing
	closed bool
}

// streamSet are the open streams at one end.
type streamSet struct {
	mu   sync.Mutex
	open map[*Stream]struct{}
}

// Connect connects a with b, as if a had dialled, and returns a's end. Two hosts may have several
// connections.
func Connect(a, b *Host) *Conn { return connect(a, b, false) }

// ConnectLimited is Connect for a connection that counts as limited, as one over a relay does.
func ConnectLimited(a, b *Host) *Conn { return connect(a, b, true) }

func connect(a, b *Host, limited bool) *Conn {
	l := &link{id: int(a.conns.nextID.Add(1))}
	newEnd := func(h *Host, d network.Direction) *Conn {
		stats := network.Stats{Direction: d, Opened: time.Now(), Limited: limited}
		return &Conn{
			host:    h,
			link:    l,
			stat:    network.ConnStats{Stats: stats},
			streams: streamSet{open: make(map[*Stream]struct{})},
		}
	}
	ca, cb := newEnd(a, network.DirOutbound), newEnd(b, network.DirInbound)
	ca.other, cb.other = cb, ca
	b.conns.add(cb)
	a.conns.add(ca)
	b.network.notify(func(n network.Notifiee) { n.Connected(b.network, cb) })
	a.network.notify(func(n network.Notifiee) { n.Connected(a.network, ca) })
	return ca
}

// NewStream opens a stream. At the other end its handler runs in a goroutine that the Host owns.
func (c *Conn) NewStream(ctx context.Context) (network.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.closed {
		return nil, fmt.Errorf("open a stream: %w", network.ErrReset)
	}
	there, here := newHalf(), newHalf()
	n := c.link.nextID.Add(1)
	newEnd := func(c *Conn, d network.Direction, in, out *half) *Stream {
		return &Stream{
			conn: c,
			id:   fmt.Sprintf("%d-%d-%v", c.link.id, n, d),
			stat: network.Stats{Direction: d, Opened: time.Now()},
			in:   in,
			out:  out,
		}
	}
	s, r := newEnd(c, network.DirOutbound, here, there), newEnd(c.other, network.DirInbound, there, here)
	s.other, r.other = r, s
	c.remember(s)
	c.other.remember(r)
	c.other.host.accept(r)
	return s, nil
}

func (c *Conn) remember(s *Stream) {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	c.streams.open[s] = struct{}{}
}

func (c *Conn) forget(s *Stream) {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	delete(c.streams.open, s)
}

// GetStreams returns the open streams at this end.
func (c *Conn) GetStreams() []network.Stream {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	var out []network.Stream
	for s := range c.streams.open {
		out = append(out, s)
	}
	return out
}

// Close closes the connection at both ends.
func (c *Conn) Close() error { return c.CloseWithError(network.ConnNoError) }

// CloseWithError closes the connection at both ends; their streams end with the code. It returns
// when both hosts were notified.
func (c *Conn) CloseWithError(code network.ConnErrorCode) error {
	c.link.mu.Lock()
	already := c.link.closed
	c.link.closed = true
	c.link.mu.Unlock()
	if already {
		return nil
	}
	// First, as go-libp2p does it: a request that goes on after its stream ended takes another connection.
	for _, end := range []*Conn{c, c.other} {
		end.host.conns.remove(end)
	}
	c.streams.mu.Lock()
	open := slices.Collect(maps.Keys(c.streams.open))
	c.streams.mu.Unlock()
	c.other.streams.mu.Lock()
	for s := range c.other.streams.open {
		open = append(open, s.other)
	}
	c.other.streams.mu.Unlock()
	for _, s := range open {
		s.end(&network.ConnError{ErrorCode: code}, &network.ConnError{ErrorCode: code, Remote: true})
	}
	for _, end := range []*Conn{c, c.other} {
		end.host.network.notify(func(n network.Notifiee) { n.Disconnected(end.host.network, end) })
	}
	return nil
}

// IsClosed reports whether the connection was closed at either end.
func (c *Conn) IsClosed() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.link.closed
}

// ID names the connection at this host.
func (c *Conn) ID() string { return fmt.Sprintf("%s-%d", c.host.id, c.link.id) }

// LocalPeer returns the peer at this end.
func (c *Conn) LocalPeer() peer.ID { return c.host.id }

// RemotePeer returns the peer at the other end.
func (c *Conn) RemotePeer() peer.ID { return c.other.host.id }

// RemotePublicKey returns the key that the remote peer's ID contains, nil when it contains none.
func (c *Conn) RemotePublicKey() crypto.PubKey {
	key, err := c.RemotePeer().ExtractPublicKey()
	if err != nil {
		return nil
	}
	return key
}

// ConnState says that the transport is memory.
func (c *Conn) ConnState() network.ConnectionState {
	return network.ConnectionState{Transport: "memory"}
}

// LocalMultiaddr returns an address of /memory.
func (c *Conn) LocalMultiaddr() multiaddr.Multiaddr { return memoryAddr(c.link.id) }

// RemoteMultiaddr returns an address of /memory.
func (c *Conn) RemoteMultiaddr() multiaddr.Multiaddr { return memoryAddr(c.link.id) }

func memoryAddr(id int) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/memory/%d", id))
}

// Stat returns the direction, the time of opening and the number of open streams.
func (c *Conn) Stat() network.ConnStats {
	stat := c.stat
	stat.NumStreams = len(c.GetStreams())
	return stat
}

// Scope returns a scope without limits.
func (c *Conn) Scope() network.ConnScope { return &network.NullScope{} }

// As finds nothing: there is no other connection below this one.
func (c *Conn) As(any) bool { return false }
