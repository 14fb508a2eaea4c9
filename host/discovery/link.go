package discovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// link is a network that we are in by an IPv4 address of ours, or by an interface with IPv6.
type link struct {
	nic    net.Interface
	prefix netip.Prefix  // our address, and the size of the network; of IPv6 the link-local one
	conn   socket        // bound to that address
	record []byte        // what we announce there; empty for one who only asks
	asked  chan struct{} // has a token when somebody there has asked all
}

// survey is where we are, at one moment.
type survey struct {
	links []*link
	addrs []multiaddr.Multiaddr
}

// String is the same as long as nothing has changed.
func (s survey) String() string {
	var words []string
	for _, a := range s.addrs {
		words = append(words, a.String())
	}
	for _, l := range s.links {
		words = append(words, fmt.Sprint(l.nic.Index, l.nic.Name, l.prefix))
	}
	slices.Sort(words) // the addresses come in any order
	return strings.Join(words, " ")
}

// survey lists our networks, and the addresses of the host in them.
func (b *Beacon) survey() (now survey, err error) {
	if listening := b.host.Network().ListenAddresses(); b.cfg.Announce && len(listening) > 0 {
		// The library's InterfaceListenAddresses would tell what was true up to a minute ago.
		if now.addrs, err = manet.ResolveUnspecifiedAddresses(listening, nil); err != nil {
			return now, fmt.Errorf("own addresses: %w", err)
		}
	}
	nics, err := net.Interfaces()
	if err != nil {
		return now, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, nic := range nics {
		if !b.suits(nic) {
			continue
		}
		addrs, err := nic.Addrs()
		if err != nil {
			continue // it has gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || len(now.links) >= maxLinks {
				continue
			}
			four := p.Addr().Is4() && (b.cfg.Mode == BeaconMulticast || p.Bits() < 31)
			six := b.speaksIPv6() && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()
			if four || six {
				now.links = append(now.links, &link{nic: nic, prefix: p, asked: make(chan struct{}, 1)})
			}
		}
	}
	switch {
	case len(now.links) > 0:
		return now, nil
	case b.cfg.Interface != "":
		return now, fmt.Errorf("the network interface %s is missing, down, or has no address", b.cfg.Interface)
	}
	return now, errors.New("no network interface with an address is up")
}

func (b *Beacon) suits(nic net.Interface) bool {
	able := net.FlagMulticast
	if b.cfg.Mode == BeaconBroadcast {
		able = net.FlagBroadcast
	}
	switch {
	case nic.Flags&net.FlagUp == 0:
		return false
	case b.cfg.Interface != "":
		return nic.Name == b.cfg.Interface // the loopback works without saying that it can
	}
	return nic.Flags&net.FlagLoopback == 0 && nic.Flags&able != 0
}

// six reports whether the network is IPv6.
func (l *link) six() bool { return l.prefix.Addr().Is6() }

// zone names the interface in a link-local address.
func (l *link) zone() string {
	if l.six() {
		return l.nic.Name
	}
	return ""
}

// has reports whether the sender of a datagram is in this network.
func (l *link) has(from netip.Addr) bool {
	if l.six() {
		return from.Zone() == l.nic.Name && l.prefix.Contains(from.WithZone(""))
	}
	return l.prefix.Contains(from)
}

// is reports whether an address is ours there.
func (l *link) is(a netip.Addr) bool { return l.prefix.Addr() == a.WithZone("") }

// order picks the addresses that others can use, those in this network first: not all may fit.
// Loopback addresses are for the loopback.
func (l *link) order(addrs []multiaddr.Multiaddr) (out []multiaddr.Multiaddr) {
	far := 0
	for _, a := range addrs {
		if !Usable(a, l.prefix.Addr().IsLoopback()) {
			continue
		}
		ip, _ := manet.ToIP(a)
		if near, ok := netip.AddrFromSlice(ip); ok && l.prefix.Contains(near.Unmap()) {
			out = slices.Insert(out, far, a)
			far++
		} else {
			out = append(out, a)
		}
	}
	return out
}

// broadcastOf is the address that means all in a network.
func broadcastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	all := binary.BigEndian.Uint32(a[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(a[:], all)
	return netip.AddrFrom4(a)
}
