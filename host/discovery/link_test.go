package discovery

import (
	"net"
	"net/netip"
	"testing"
)

// TestLinkHas: in IPv6 all links have one prefix, and the interface tells them apart.
func TestLinkHas(t *testing.T) {
	four := &link{nic: net.Interface{Name: "eth0"}, prefix: netip.MustParsePrefix("192.168.1.7/24")}
	six := &link{nic: net.Interface{Name: "eth0"}, prefix: netip.MustParsePrefix("fe80::7/64")}
	for _, test := range []struct {
		link    *link
		from    string
		has, is bool
	}{
		{four, "192.168.1.7", true, true},
		{four, "192.168.1.9", true, false},
		{four, "192.168.2.9", false, false},
		{four, "fe80::9%eth0", false, false},
		{six, "fe80::7%eth0", true, true},
		{six, "fe80::9%eth0", true, false},
		{six, "fe80::9%eth1", false, false},
		{six, "2001:db8::9", false, false},
		{six, "192.168.1.7", false, false},
	} {
		from := netip.MustParseAddr(test.from)
		if has, is := test.link.has(from), test.link.is(from); has != test.has || is != test.is {
			t.Errorf("%s in %s: has %v and is %v, want %v and %v", from, test.link.prefix, has, is, test.has, test.is)
		}
	}
}
