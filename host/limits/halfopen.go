package limits

// A repair of github.com/libp2p/go-libp2p v0.51.0: a connection may take 15 s for its handshake,
// the resource manager counts those of all addresses together, and one address can hold all places.
// No issue is known: see docs/upstream.md. The file may go when the transient scope has a share for
// each network.

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// Connections that were accepted and are not yet ready for streams. Most of their handshake needs
// no key, so any sender of packets can make them; the library keeps each for 15 s.
const (
	// halfOpenTime is for a whole handshake: three round trips, over the slowest of links.
	halfOpenTime = 5 * time.Second
	// halfOpenGrace: one that is younger does not give way to another of its own address.
	halfOpenGrace = time.Second
	halfOpenShare = 4 // one network gets one of so many
)

var errCrowded = errors.New("too many connections of this network are in their handshake")

// halfOpen counts connections in their handshake. Where there are too many, of a network or of all,
// the oldest one of the address that has the most is closed, so that one address, or one network,
// keeps out only itself.
type halfOpen struct {
	most, ofNet int

	mu   sync.Mutex
	came map[string]rawConn // accepted and not yet counted, by their remote address
	open map[*half]struct{}
}

// rawConn is a connection below its handshake.
type rawConn interface {
	io.Closer
	network.ConnMultiaddrs
	SetReadDeadline(time.Time) error
}

// half is one of them.
type half struct {
	addr  netip.Addr
	crowd crowd
	since time.Time
	conn  rawConn // nil where it cannot be ended from here, as with QUIC
	end   *time.Timer
}

// crowd is what a share is for: a network, over TCP or over QUIC. A peer behind one address with an
// attacker can use the other transport.
type crowd struct {
	net  netip.Prefix
	quic bool
}

// newHalfOpen makes an account for a node whose limit for all handshakes is transient. A quarter of
// that is left to those that are being closed.
func newHalfOpen(transient int) *halfOpen {
	return &halfOpen{
		most: transient - transient/halfOpenShare, ofNet: transient / halfOpenShare,
		came: make(map[string]rawConn), open: make(map[*half]struct{}),
	}
}

// accepted notes a raw connection, right before the library asks for its resources.
func (h *halfOpen) accepted(c network.ConnMultiaddrs) {
	raw, ok := c.(rawConn)
	if !ok || c.RemoteMultiaddr() == nil {
		return // QUIC: it is past its handshake
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came[c.RemoteMultiaddr().String()] = raw
}

// begin counts a connection, or refuses it. What has no address, is from this machine, or came
// through a relay, which lets in members alone, is not counted: nil.
func (h *halfOpen) begin(from multiaddr.Multiaddr, now time.Time) (*half, error) {
	var conn rawConn
	h.mu.Lock()
	if from != nil {
		conn = h.came[from.String()]
		delete(h.came, from.String())
	}
	addr, ok := addrOf(from)
	if !ok {
		h.mu.Unlock()
		return nil, nil
	}
	c := &half{addr: addr, crowd: crowd{route.Network(addr), route.IsQUIC(from)}, since: now, conn: conn}
	out, err := h.makeRoom(c)
	if err == nil {
		h.open[c] = struct{}{}
		if conn != nil {
			c.end = time.AfterFunc(halfOpenTime, func() { conn.Close() })
		}
	}
	h.mu.Unlock()
	if out != nil {
		out.stop()
		out.conn.Close()
	}
	return c, err
}

// makeRoom takes one off the account for another, where there is no room. The caller holds mu.
func (h *halfOpen) makeRoom(c *half) (out *half, err error) {
	counts, quic := make(map[crowd]int), 0
	for o := range h.open {
		counts[o.crowd]++
		if o.crowd.quic {
			quic++
		}
	}
	from := c.crowd
	switch {
	// These cannot be ended from here, and leave room for the others.
	case c.crowd.quic && quic >= h.most/2:
		return nil, errCrowded
	case counts[from] >= h.ofNet:
	case len(h.open) >= h.most:
		for n, k := range counts {
			if !n.quic && (from.quic || k > counts[from]) {
				from = n
			}
		}
	default:
		return nil, nil
	}
	at := make(map[netip.Addr]int)
	for o := range h.open {
		if o.crowd == from {
			at[o.addr]++
		}
	}
	busiest := c.addr
	for a, k := range at {
		if k > at[busiest] {
			busiest = a
		}
	}
	for o := range h.open {
		if o.crowd == from && o.addr == busiest && o.conn != nil && (out == nil || o.since.Before(out.since)) {
			out = o
		}
	}
	if out == nil || busiest == c.addr && c.since.Sub(out.since) < halfOpenGrace {
		return nil, errCrowded
	}
	delete(h.open, out)
	return out, nil
}

// upgraded takes a connection off the account that is ready for streams.
func (h *halfOpen) upgraded(c network.ConnMultiaddrs) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for o := range h.open {
		if o.conn != nil && samePorts(o.conn, c) {
			delete(h.open, o)
			o.stop()
		}
	}
}

// samePorts reports whether two connections are one, perhaps on different layers.
func samePorts(a, b network.ConnMultiaddrs) bool {
	same := func(a, b multiaddr.Multiaddr) bool {
		return len(a) >= 2 && len(b) >= 2 && a[0].Equal(&b[0]) && a[1].Equal(&b[1])
	}
	return same(a.RemoteMultiaddr(), b.RemoteMultiaddr()) && same(a.LocalMultiaddr(), b.LocalMultiaddr())
}

// done takes a connection off the account that has ended.
func (h *halfOpen) done(c *half) {
	h.mu.Lock()
	delete(h.open, c)
	h.mu.Unlock()
	c.stop()
}

func (c *half) stop() {
	if c.end != nil {
		c.end.Stop()
	}
}

// addrOf returns the address that others sent from, if it tells them apart.
func addrOf(a multiaddr.Multiaddr) (netip.Addr, bool) {
	addr, ok := route.IP(a)
	return addr, ok && !addr.IsLoopback() && !route.IsCircuit(a)
}

// halfOpenGater reports raw connections to the account, behind another gater.
type halfOpenGater struct {
	connmgr.ConnectionGater
	half *halfOpen
}

func (g *halfOpenGater) InterceptAccept(c network.ConnMultiaddrs) bool {
	if !g.ConnectionGater.InterceptAccept(c) {
		return false
	}
	g.half.accepted(c)
	return true
}

func (g *halfOpenGater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	g.half.upgraded(c)
	return g.ConnectionGater.InterceptUpgraded(c)
}

// halfOpenResources keep the account: the library asks them for each connection that it has
// accepted, and releases it when it has ended.
type halfOpenResources struct {
	network.ResourceManager
	half *halfOpen
}

func (r *halfOpenResources) OpenConnection(
	d network.Direction, usefd bool, a multiaddr.Multiaddr,
) (network.ConnManagementScope, error) {
	if d != network.DirInbound {
		return r.ResourceManager.OpenConnection(d, usefd, a)
	}
	c, err := r.half.begin(a, time.Now())
	if err != nil {
		return nil, err
	}
	scope, err := r.ResourceManager.OpenConnection(d, usefd, a)
	if err != nil || c == nil {
		if c != nil {
			r.half.done(c)
		}
		return scope, err
	}
	return &halfOpenScope{scope, c, r.half}, nil
}

type halfOpenScope struct {
	network.ConnManagementScope
	conn *half
	half *halfOpen
}

// SetPeer is the end of a handshake over QUIC; over TCP the muxer is still to come.
func (s *halfOpenScope) SetPeer(p peer.ID) error {
	if s.conn.conn == nil {
		s.half.done(s.conn)
	}
	return s.ConnManagementScope.SetPeer(p)
}

func (s *halfOpenScope) Done() {
	s.half.done(s.conn)
	s.ConnManagementScope.Done()
}
