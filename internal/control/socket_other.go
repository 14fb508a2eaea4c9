//go:build !linux

package control

import "net"

// ownPeer relies on the modes of the socket and of its directory where the
// system does not say who is at the other end in one way.
func ownPeer(net.Conn) bool { return true }
