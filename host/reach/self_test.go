package reach

import (
	"net/netip"
	"testing"
)

func TestShareVersion(t *testing.T) {
	const four, six = "/ip4/192.168.1.7/udp/4747/quic-v1", "/ip6/2001:db8::7/udp/4747/quic-v1"
	four4, six6 := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("2001:db8::9")
	for _, test := range []struct {
		name   string
		ours   []netip.Addr
		theirs []string
		want   bool
	}{
		{"both have IPv4", []netip.Addr{four4}, []string{four}, true},
		{"one has both", []netip.Addr{four4, six6}, []string{six}, true},
		{"IPv4 here, IPv6 there", []netip.Addr{four4}, []string{six}, false},
		{"IPv6 here, IPv4 there", []netip.Addr{six6}, []string{four, "/ip6/fe80::1/tcp/4747", "/ip6/::1/tcp/4747"}, false},
		{"a name", []netip.Addr{four4}, []string{six, "/dns/example.org/tcp/4747"}, true},
		{"nothing is known", []netip.Addr{four4}, nil, true},
		{"only of itself", []netip.Addr{four4}, []string{"/ip6/::1/tcp/4747"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ShareVersion(test.ours, addrsOf(test.theirs...)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
