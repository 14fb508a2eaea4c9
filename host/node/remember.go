package node

import (
	"maps"

	"github.com/seed-b490fa12/swarm/host/book"

	"github.com/libp2p/go-libp2p/core/network"
)

// remember notes in the address book what is known of a peer: of a member what
// its grant says, and of others that are saved what they say of themselves. Only
// members are added; else it is the host and the owner who decide who is saved.
func (n *Node) remember(p PeerInfo) {
	old, ok := n.Book().Get(p.ID)
	if g := p.Grant; g != nil {
		var addrs []string
		if len(old.Addrs) == 0 && p.Conn.Stat().Direction == network.DirOutbound {
			addrs = []string{p.Conn.RemoteMultiaddr().String()}
		}
		if ok && !old.Hint && old.Name == g.Name && old.Role == string(g.Role) && maps.Equal(old.Labels, g.Labels) && len(addrs) == 0 {
			return
		}
		if _, err := n.Book().Update(p.ID, func(m *book.Entry) {
			ApplyGrant(m, g)
			if len(m.Addrs) == 0 {
				m.Addrs = addrs
			}
		}); err != nil {
			n.log.Warn("a member could not be saved", "peer", p.ID, "err", err)
		}
		return
	}
	if !ok || p.Hello.Name == "" && p.Hello.Role == "" || old.ClaimedName == p.Hello.Name && old.Role == p.Hello.Role {
		return
	}
	_, err := n.Book().Update(p.ID, func(m *book.Entry) { m.ClaimedName, m.Role = p.Hello.Name, p.Hello.Role })
	if err != nil {
		n.log.Warn("a peer's name could not be saved", "peer", p.ID, "err", err)
	}
}
