package host

import (
	"cmp"
	"slices"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Path is how a connection gets to its peer.
type Path string

// The paths, the best first.
const (
	PathLAN    Path = "LAN"    // an address of a private network, or of this machine
	PathDirect Path = "direct" // a public address
	PathRelay  Path = "relay"  // by way of another member
)

var pathOrder = []Path{PathLAN, PathDirect, PathRelay}

// PathOf tells how a connection gets to its peer.
func PathOf(c network.Conn) Path { return pathTo(c.RemoteMultiaddr()) }

func pathTo(a multiaddr.Multiaddr) Path {
	switch {
	case isCircuit(a):
		return PathRelay
	case manet.IsPublicAddr(a):
		return PathDirect
	default:
		return PathLAN
	}
}

func isCircuit(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

func comparePaths(a, b network.Conn) int {
	return cmp.Compare(slices.Index(pathOrder, PathOf(a)), slices.Index(pathOrder, PathOf(b)))
}

// BestConn returns the open connection to p with the best path, or nil.
func (h *Host) BestConn(p peer.ID) network.Conn {
	conns := h.Network().ConnsToPeer(p)
	if len(conns) == 0 {
		return nil
	}
	return slices.MinFunc(conns, comparePaths)
}

// RelayOf returns who passes a circuit on; empty for another address.
func RelayOf(a multiaddr.Multiaddr) peer.ID {
	before, _ := multiaddr.SplitFunc(a, func(c multiaddr.Component) bool { return c.Protocol().Code == multiaddr.P_CIRCUIT })
	if !isCircuit(a) || len(before) == 0 {
		return ""
	}
	_, id := peer.SplitAddr(before)
	return id
}
