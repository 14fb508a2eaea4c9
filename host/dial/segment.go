package dial

import (
	"net"
	"net/netip"
	"syscall"
)

// mostSegment bounds the segments of TCP connections, in bytes, in both directions: a link need not
// carry packets of more than 1,280 (RFC 8200, section 5), of which 60 are the headers of IPv6 and
// TCP. Tunnels have such links, and where the message that a packet is too big is filtered, larger
// ones vanish: connections were opened there, and no handshake ended. Segments of 1,460 would save
// one packet of six.
const mostSegment = 1280 - 60

// TCPDialer returns a dialer of TCP connections that get through links that carry no more than
// every link has to. Linux alone lets a program say so before it connects; to the others it is said
// by the side that runs Linux, when that one dials.
func TCPDialer() *net.Dialer {
	return &net.Dialer{Control: func(_, addr string, c syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(addr); err == nil && at.Addr().Unmap().IsLoopback() {
			return nil
		}
		// A connection with larger segments is better than none.
		_ = c.Control(func(socket uintptr) { limitSegments(socket, mostSegment) })
		return nil
	}}
}
