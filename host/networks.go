package host

import (
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// networks is a gater that knows which networks one may speak with, in front of another gater.
type networks struct {
	connmgr.ConnectionGater // nil is allowed
	allow, deny             []netip.Prefix
}

// gater returns the gater of a Config.
func (c Config) gater() connmgr.ConnectionGater {
	return &networks{c.Gater, c.AllowNets, c.DenyNets}
}

// permits judges an address by its IP: what is denied is out; where anything is allowed by name, all else is out. An
// address without an IP, such as that of a circuit, says nothing about networks.
func (n *networks) permits(a multiaddr.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	if err != nil {
		return true
	}
	addr, _ := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	return !slices.ContainsFunc(n.deny, in) && (len(n.allow) == 0 || slices.ContainsFunc(n.allow, in))
}

func (n *networks) InterceptPeerDial(p peer.ID) bool {
	return n.ConnectionGater == nil || n.ConnectionGater.InterceptPeerDial(p)
}

func (n *networks) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	return n.permits(a) && (n.ConnectionGater == nil || n.ConnectionGater.InterceptAddrDial(p, a))
}

func (n *networks) InterceptAccept(c network.ConnMultiaddrs) bool {
	return n.permits(c.RemoteMultiaddr()) && (n.ConnectionGater == nil || n.ConnectionGater.InterceptAccept(c))
}

func (n *networks) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	return n.ConnectionGater == nil || n.ConnectionGater.InterceptSecured(d, p, c)
}

func (n *networks) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if n.ConnectionGater == nil {
		return true, 0
	}
	return n.ConnectionGater.InterceptUpgraded(c)
}
