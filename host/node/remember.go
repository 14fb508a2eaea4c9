package node

import (
	"github.com/seed-b490fa12/swarm/host"
)

// remember notes in the address book what a saved peer says of itself. It adds
// nobody: who is saved is decided by the host and by the owner.
func (n *Node) remember(p PeerInfo) {
	old, ok := n.Book().Get(p.ID)
	if !ok || p.Hello.Name == "" && p.Hello.Role == "" || old.ClaimedName == p.Hello.Name && old.Role == p.Hello.Role {
		return
	}
	_, err := n.Book().Update(p.ID, func(m *host.Member) { m.ClaimedName, m.Role = p.Hello.Name, p.Hello.Role })
	if err != nil {
		n.log.Warn("a peer's name could not be saved", "peer", p.ID, "err", err)
	}
}
