package node

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
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// How long a peer that is no member may stay with a node of a fleet.
const (
	greetWithin = 3 * time.Second  // until it has shown a grant
	leaveWithin = 8 * time.Second  // when it has greeted, and is no member
	joinWithin  = 15 * time.Minute // when its ticket is good, and a person has yet to confirm it
	sweepEvery  = time.Second
	lookEvery   = 10 * time.Second // for members whose time is over
	minSlots    = 64
	netShare    = 4 // a network gets one of so many slots
	// Strangers over QUIC have one of so many: each may leave 768 KiB unread, which the library lets nobody change.
	quicShare = 4
)

// strangers keeps account of the connections that peers made to us who are no
// members.
//
// An open node lets in so many of them and no more; the host admits twice as many
// connections in all, so that members get in however many strangers come. A
// node of a fleet puts them on probation instead: there are slots, for
// each network no more than a share, and the oldest one makes room for the next,
// so that a member whom we do not know yet gets its turn to show its grant.
type strangers struct {
	connmgr.ConnectionGater // of the application; nil is allowed
	judge                   trust.Judge
	fleet                   bool
	most                    int
	looked                  time.Time // when lapsed looked; of sweep alone

	mu   sync.Mutex // guards open
	open map[network.Conn]*stranger
}

type stranger struct {
	net     netip.Prefix // of its address; zero for an unknown one
	quic    bool
	since   time.Time
	until   time.Time // when it has to be gone
	greeted bool
}

// newStrangers makes an account with so many slots.
func newStrangers(gater connmgr.ConnectionGater, judge trust.Judge, fleet bool, slots int) *strangers {
	return &strangers{ConnectionGater: gater, judge: judge, fleet: fleet, most: slots, open: make(map[network.Conn]*stranger)}
}

// slotsFor is how many strangers a node may have with it, if its limits are for maxPeers.
// A controller or relay that was just set up has the whole fleet come to it as
// strangers; to a worker only a few come, however large the fleet is.
func slotsFor(role string, fleet bool, maxPeers int) int {
	switch {
	case !fleet:
		return maxPeers
	case role == string(trust.RoleWorker):
		return minSlots
	}
	return max(minSlots, maxPeers/4)
}

func (s *strangers) InterceptPeerDial(p peer.ID) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptPeerDial(p)
}

func (s *strangers) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptAddrDial(p, a)
}

func (s *strangers) InterceptAccept(a network.ConnMultiaddrs) bool {
	return s.ConnectionGater == nil || s.ConnectionGater.InterceptAccept(a)
}

// InterceptSecured is where it is first known who is there.
func (s *strangers) InterceptSecured(d network.Direction, p peer.ID, a network.ConnMultiaddrs) bool {
	if s.ConnectionGater != nil && !s.ConnectionGater.InterceptSecured(d, p, a) {
		return false
	}
	return s.fleet || d == network.DirOutbound || s.judge.Member(p) || s.count() < s.most
}

func (s *strangers) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if s.ConnectionGater == nil {
		return true, 0
	}
	return s.ConnectionGater.InterceptUpgraded(c)
}

func (s *strangers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// connected takes a connection into account. It returns the one that has to make
// room for it, if any.
func (s *strangers) connected(c network.Conn) (out network.Conn) {
	if c.Stat().Direction == network.DirOutbound || s.judge.Member(c.RemotePeer()) {
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
func (s *strangers) crowded(from netip.Prefix, quic bool) (oldest network.Conn) {
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
	if a == nil {
		return false
	}
	_, err := a.ValueForProtocol(multiaddr.P_QUIC_V1)
	return err == nil
}

// networkOf returns the /24 or /56 that an address is in.
func networkOf(a multiaddr.Multiaddr) netip.Prefix {
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	bits := 56
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (s *strangers) disconnected(c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// holds reports whether a connection is on the account.
func (s *strangers) holds(c network.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, on := s.open[c]
	return on
}

// promote takes a peer off the account: it is a member.
func (s *strangers) promote(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.RemotePeer() == p {
			delete(s.open, c)
		}
	}
}

// extend lets a peer stay until some time from now.
func (s *strangers) extend(c network.Conn, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.open[c]; ok {
		st.until = time.Now().Add(d)
	}
}

// greeted lets a peer that has greeted stay a little longer, once.
func (s *strangers) greeted(c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.open[c]; ok && !st.greeted {
		st.greeted, st.until = true, st.since.Add(leaveWithin)
	}
}

// overdue returns those who should be gone.
func (s *strangers) overdue(now time.Time) (out []network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, st := range s.open {
		switch {
		case c.IsClosed():
			delete(s.open, c)
		case now.After(st.until):
			out = append(out, c)
		}
	}
	return out
}

// lapsed puts peers on probation who were members when they came, and are no more.
func (s *strangers) lapsed(conns []network.Conn, now time.Time) {
	if now.Sub(s.looked) < lookEvery {
		return
	}
	s.looked = now
	for _, c := range conns {
		if c.Stat().Direction == network.DirOutbound || s.judge.Member(c.RemotePeer()) {
			continue
		}
		s.mu.Lock()
		if _, known := s.open[c]; !known && !c.IsClosed() {
			s.open[c] = &stranger{net: networkOf(c.RemoteMultiaddr()), quic: overQUIC(c), since: now, until: now.Add(leaveWithin), greeted: true}
		}
		s.mu.Unlock()
	}
}

// sweep sends away strangers whose time is over, until ctx ends.
func (s *strangers) sweep(ctx context.Context, conns func() []network.Conn) error {
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
			for _, c := range s.overdue(now) {
				c.CloseWithError(greet.DisconnectUselessPeer.ConnCode())
			}
		}
	}
}
