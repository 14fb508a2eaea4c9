package limits

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

// Networks is a gater that permits some networks only, in front of another gater. What comes
// through a relay is judged by the relay's address.
type Networks struct {
	connmgr.ConnectionGater // nil permits all
	// Allow, if there are any, are the only networks permitted; Deny those that never are.
	Allow, Deny []netip.Prefix
}

// Permits judges an address by its IP: what is denied is out; where anything is allowed, all else
// is out. An address without an IP, such as that of a circuit, says nothing about networks.
func (n *Networks) Permits(a multiaddr.Multiaddr) bool {
	addr, ok := route.IP(a)
	if !ok {
		return true
	}
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	return !slices.ContainsFunc(n.Deny, in) && (len(n.Allow) == 0 || slices.ContainsFunc(n.Allow, in))
}

// InterceptPeerDial is part of connmgr.ConnectionGater.
func (n *Networks) InterceptPeerDial(p peer.ID) bool {
	return n.ConnectionGater == nil || n.ConnectionGater.InterceptPeerDial(p)
}

// InterceptAddrDial is part of connmgr.ConnectionGater.
func (n *Networks) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	return n.Permits(a) && (n.ConnectionGater == nil || n.ConnectionGater.InterceptAddrDial(p, a))
}

// InterceptAccept is part of connmgr.ConnectionGater.
func (n *Networks) InterceptAccept(c network.ConnMultiaddrs) bool {
	return n.Permits(c.RemoteMultiaddr()) && (n.ConnectionGater == nil || n.ConnectionGater.InterceptAccept(c))
}

// InterceptSecured is part of connmgr.ConnectionGater.
func (n *Networks) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	return n.ConnectionGater == nil || n.ConnectionGater.InterceptSecured(d, p, c)
}

// InterceptUpgraded is part of connmgr.ConnectionGater.
func (n *Networks) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if n.ConnectionGater == nil {
		return true, 0
	}
	return n.ConnectionGater.InterceptUpgraded(c)
}
