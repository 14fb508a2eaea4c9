package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// socket is one for datagrams of one IP version.
type socket struct {
	*net.UDPConn
	six bool
}

// listenShared opens a port that the nodes of a machine share.
func listenShared(ctx context.Context, port int, six bool) (socket, error) {
	network, all := "udp4", "0.0.0.0"
	if six {
		network, all = "udp6", "[::]"
	}
	lc := net.ListenConfig{Control: shareAddress}
	conn, err := lc.ListenPacket(ctx, network, fmt.Sprintf("%s:%d", all, port))
	if err != nil {
		return socket{}, err
	}
	return socket{conn.(*net.UDPConn), six}, nil
}

// listenAt opens any port of an address of this machine; of a link-local one of IPv6 on an interface.
func listenAt(at netip.Addr, nic *net.Interface) (socket, error) {
	network, addr := "udp4", &net.UDPAddr{IP: at.AsSlice()}
	if at.Is6() {
		network, addr.Zone = "udp6", nic.Name
	}
	conn, err := net.ListenUDP(network, addr)
	return socket{conn, at.Is6()}, err
}

// hearSelf lets the nodes of this machine hear one another. On Windows that matters at the receiver.
func (s socket) hearSelf() error {
	if s.six {
		return ipv6.NewPacketConn(s).SetMulticastLoopback(true)
	}
	return ipv4.NewPacketConn(s).SetMulticastLoopback(true)
}

// join takes part in a group.
func (s socket) join(nic *net.Interface, group netip.Addr) error {
	to := &net.UDPAddr{IP: group.AsSlice()}
	if s.six {
		return ipv6.NewPacketConn(s).JoinGroup(nic, to)
	}
	return ipv4.NewPacketConn(s).JoinGroup(nic, to)
}

// speak has what is sent to a group go out by an interface. The time to live is 1: nothing passes a
// router.
func (s socket) speak(nic *net.Interface) error {
	if s.six {
		return errors.Join(ipv6.NewPacketConn(s).SetMulticastInterface(nic), s.hearSelf())
	}
	return errors.Join(ipv4.NewPacketConn(s).SetMulticastInterface(nic), s.hearSelf())
}

// tellTo asks the system to tell to whom a datagram was sent, and returns the room that it takes to
// do so.
func (s socket) tellTo() (room int, err error) {
	if s.six {
		return len(ipv6.NewControlMessage(ipv6.FlagDst)), ipv6.NewPacketConn(s).SetControlMessage(ipv6.FlagDst, true)
	}
	return len(ipv4.NewControlMessage(ipv4.FlagDst)), ipv4.NewPacketConn(s).SetControlMessage(ipv4.FlagDst, true)
}

// to reads to whom a datagram was sent, where the system has said so.
func (s socket) to(control []byte) (netip.Addr, bool) {
	var dst net.IP
	if s.six {
		var m ipv6.ControlMessage
		if m.Parse(control) == nil {
			dst = m.Dst
		}
	} else {
		var m ipv4.ControlMessage
		if m.Parse(control) == nil {
			dst = m.Dst
		}
	}
	a, ok := netip.AddrFromSlice(dst)
	return a.Unmap(), ok
}
