// Package strangers keeps account of the connections of peers that are no members: how many there
// may be, and how long they may stay.
package strangers

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// How long a peer that is no member may stay with a node of a fleet.
const (
	greetWithin = 3 * time.Second // until it has shown a grant
	leaveWithin = 8 * time.Second // when it has greeted, and is no member
	sweepEvery  = time.Second
	lookEvery   = 10 * time.Second // for members whose time is over
	minSlots    = 64
	netShare    = 4 // a network gets one of so many slots
	// Strangers over QUIC have one of so many: each may leave 768 KiB unread, which the library
	// lets nobody change.
	quicShare = 4
)

// Gater keeps account of the inbound connections of peers that are no members. It is the connection
// gater of the host.
//
// An open node lets in so many of them and no more; the host admits twice as many connections in
// all, so that members get in however many strangers come. A node of a fleet puts them on probation
// instead: there are slots, for each network no more than a share, and the oldest one makes room
// for the next, so that a member whom we do not know yet gets its turn to show its grant.
type Gater struct {
	connmgr.ConnectionGater // of the application; nil is allowed
	member                  func(peer.ID) bool
	fleet                   bool
	most                    int
	looked                  time.Time // when lapsed looked; of Run alone

	mu   sync.Mutex // guards open
	open map[network.Conn]*stranger
}

type stranger struct {
	net     netip.Prefix // of its address; zero for an unknown one
	quic    bool
	since   time.Time
	until   time.Time // when it has to be gone
	greeted bool
	refused bool // it has shown a grant that does not count
}

// New makes an account with so many slots. gater, which may be nil, is asked as well.
func New(gater connmgr.ConnectionGater, member func(peer.ID) bool, fleet bool, slots int) *Gater {
	return &Gater{
		ConnectionGater: gater, member: member, fleet: fleet, most: slots, open: make(map[network.Conn]*stranger),
	}
}

// Slots is how many strangers a node may have with it, if its limits are for maxPeers. A controller
// or relay that was just set up has the whole fleet come to it as strangers; to a worker only a few
// come, however large the fleet is.
func Slots(role string, fleet bool, maxPeers int) int {
	switch {
	case !fleet:
		return maxPeers
	case role == string(trust.RoleWorker):
		return minSlots
	}
	return max(minSlots, maxPeers/4)
}

// InterceptPeerDial asks the gater of the application.
func (s *Gater) InterceptPeerDial(p peer.ID) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptPeerDial(p)
}

// InterceptAddrDial asks the gater of the application.
func (s *Gater) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptAddrDial(p, a)
}

// InterceptAccept asks the gater of the application.
func (s *Gater) InterceptAccept(a network.ConnMultiaddrs) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptAccept(a)
}

// InterceptSecured is the first hook that knows the peer's identity.
func (s *Gater) InterceptSecured(d network.Direction, p peer.ID, a network.ConnMultiaddrs) bool {
	if s.ConnectionGater != nil && !s.ConnectionGater.InterceptSecured(d, p, a) {
		return false
	}
	return s.fleet || d == network.DirOutbound || s.member(p) || s.count() < s.most
}

// InterceptUpgraded asks the gater of the application.
func (s *Gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if s.ConnectionGater == nil {
		return true, 0
	}
	return s.ConnectionGater.InterceptUpgraded(c)
}

func (s *Gater) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Connected takes a connection into account. It returns the one that has to make room for it, if
// any.
func (s *Gater) Connected(c network.Conn) (out network.Conn) {
	if c.Stat().Direction == network.DirOutbound || s.member(c.RemotePeer()) {
		return nil
	}
	now := time.Now()
	st := &stranger{net: networkOf(c.RemoteMultiaddr()), quic: overQUIC(c), since: now, until: now.Add(greetWithin)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fleet {
		out = s.crowded(st.net, st.quic)
	}
	s.open[c] = st
	return out
}

// crowded returns the oldest stranger, of the network, of those over QUIC or of all, where there is
// no slot left. The caller holds mu.
func (s *Gater) crowded(from netip.Prefix, quic bool) (oldest network.Conn) {
	inNet, overQUIC := 0, 0
	for _, st := range s.open {
		if st.net == from {
			inNet++
		}
		if st.quic {
			overQUIC++
		}
	}
	full := len(s.open) >= s.most
	quicFull := quic && overQUIC >= s.most/quicShare
	if !full && !quicFull && inNet < s.most/netShare {
		return nil
	}
	var since time.Time
	for c, st := range s.open {
		among := st.net == from
		switch {
		case quicFull:
			among = st.quic
		case full:
			among = true
		}
		if among && (oldest == nil || st.since.Before(since)) {
			oldest, since = c, st.since
		}
	}
	delete(s.open, oldest)
	return oldest
}

func overQUIC(c network.Conn) bool {
	a := c.RemoteMultiaddr()
	return a != nil && route.IsQUIC(a)
}

// networkOf returns the network that an address is in; zero for an address without an IP.
func networkOf(a multiaddr.Multiaddr) netip.Prefix {
	addr, _ := route.IP(a)
	return route.Network(addr)
}

// Disconnected takes a connection off the account.
func (s *Gater) Disconnected(c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Holds reports whether a connection is on the account.
func (s *Gater) Holds(c network.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, on := s.open[c]
	return on
}

// Promote takes a peer off the account: it is a member.
func (s *Gater) Promote(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.RemotePeer() == p {
			delete(s.open, c)
		}
	}
}

// Extend lets a peer stay until some time from now.
func (s *Gater) Extend(c network.Conn, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.open[c]; ok {
		st.until = time.Now().Add(d)
	}
}

// Greeted lets a peer that has greeted stay a little longer, once. refused says that it has shown a
// grant that does not count.
func (s *Gater) Greeted(c network.Conn, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.open[c]
	if !ok {
		return
	}
	st.refused = refused
	if !st.greeted {
		st.greeted, st.until = true, st.since.Add(leaveWithin)
	}
}

// overdue returns the connections that should be gone, with the reasons.
func (s *Gater) overdue(now time.Time) map[network.Conn]greet.DisconnectCode {
	out := make(map[network.Conn]greet.DisconnectCode)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, st := range s.open {
		switch {
		case c.IsClosed():
			delete(s.open, c)
		case now.After(st.until) && st.refused:
			out[c] = greet.DisconnectInvalidIdentity
		case now.After(st.until):
			out[c] = greet.DisconnectUselessPeer
		}
	}
	return out
}

// lapsed puts peers on probation that were members when they connected and no longer are.
func (s *Gater) lapsed(conns []network.Conn, now time.Time) {
	if now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound || s.member(c.RemotePeer()) {
			continue
		}
		s.mu.Lock()
		if _, known := s.open[c]; !known && !c.IsClosed() {
			s.open[c] = &stranger{
				net:     networkOf(c.RemoteMultiaddr()),
				quic:    overQUIC(c),
				since:   now,
				until:   now.Add(leaveWithin),
				greeted: true,
			}
		}
		s.mu.Unlock()
	}
}

// Run closes the connections of strangers whose time is over, until ctx ends.
func (s *Gater) Run(ctx context.Context, conns func() []network.Conn) error {
	if !s.fleet {
		return nil
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.lapsed(conns(), now)
			for c, why := range s.overdue(now) {
				c.CloseWithError(why.ConnCode())
			}
		}
	}
}
