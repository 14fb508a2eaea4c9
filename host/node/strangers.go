package node

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// strangers counts the connections that strangers have made to us and lets in
// no more than a number of them. The host admits twice as many connections in all, so
// that members get in however many strangers come.
type strangers struct {
	connmgr.ConnectionGater // of the application; nil is allowed
	judge                   trust.Judge
	most                    int

	mu   sync.Mutex // guards open
	open map[network.Conn]struct{}
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
	return d == network.DirOutbound || s.judge.Member(p) || s.count() < s.most
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

func (s *strangers) connected(c network.Conn) {
	if c.Stat().Direction == network.DirOutbound || s.judge.Member(c.RemotePeer()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[network.Conn]struct{})
	}
	s.open[c] = struct{}{}
}

func (s *strangers) disconnected(c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}
