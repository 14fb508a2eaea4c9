package names

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
)

// The examples are those of RFC 6052, section 2.4.
func TestTranslator(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.33")
	for _, tt := range []struct{ prefix, to string }{
		{"2001:db8::/32", "2001:db8:c000:221::"},
		{"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
		{"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
		{"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
		{"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
		{"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
	} {
		prefix := netip.MustParsePrefix(tt.prefix)
		made := translator{prefix.Addr(), prefix.Bits()}
		if got := made.of(from); got != netip.MustParseAddr(tt.to) {
			t.Errorf("%s: got %s, want %s", prefix, got, tt.to)
		}
		for _, name := range wellKnown {
			if got, ok := translatorOf(made.of(name)); !ok || got != made {
				t.Errorf("%s: an answer for %s is taken for %v, %v", prefix, name, got, ok)
			}
		}
		if got := made.inside(made.of(from)); got != from || !made.translates(made.of(from)) {
			t.Errorf("%s: it leads to %s, want %s", prefix, got, from)
		}
	}
	if got, ok := translatorOf(netip.MustParseAddr("2001:db8::1")); ok {
		t.Errorf("any address is taken for %v", got)
	}
}

// In a network with IPv6 alone, addresses of IPv4 are reached by the translator that its name server
// tells of, whether they come from a name or not.
func TestTranslated(t *testing.T) {
	only6 := true
	dns := &server{ip: func(_ context.Context, network, name string) ([]netip.Addr, error) {
		switch {
		case name == onlyIPv4 && network == ip6:
			return []netip.Addr{netip.MustParseAddr("64:ff9b:1::c000:aa"), netip.MustParseAddr("64:ff9b:1::c000:ab")}, nil
		case name == "vps.example" && network == ip4:
			return []netip.Addr{netip.MustParseAddr("16.1.0.10")}, nil
		}
		return nil, notFound
	}}
	const bare, there = "/ip4/16.1.0.10/tcp/4747", "/ip6/64:ff9b:1::1001:a/tcp/4747"
	simulated(t, dns, func(t *testing.T, r *Resolver) {
		r.only6 = func() bool { return only6 }
		for _, tt := range []struct {
			addr     string
			resolves bool
			want     []string
		}{
			{bare, true, []string{there}},
			{named4, true, []string{there, bare}},
			{"/ip4/192.168.1.10/tcp/4747", false, nil},
			{"/ip6/2a00::10/tcp/4747", false, nil},
		} {
			if got := r.Resolves(addr(tt.addr)); got != tt.resolves {
				t.Errorf("%s: resolves: %v", tt.addr, got)
			}
			if !tt.resolves {
				continue
			}
			got, err := r.Resolve(t.Context(), relay, addr(tt.addr))
			if err != nil || fmt.Sprint(got) != fmt.Sprint(addrs(tt.want...)) {
				t.Errorf("%s: got %v, %v, want %v", tt.addr, got, err, tt.want)
			}
			for _, k := range r.Look(relay, addrs(tt.addr)).Known {
				if k.Translated != (k.Addr.String() == there) {
					t.Errorf("%s: %s is translated: %v", tt.addr, k.Addr, k.Translated)
				}
			}
		}
		for in, want := range map[string]string{
			there: bare, "/ip6/64:ff9b::1001:a/udp/1/quic-v1": "/ip4/16.1.0.10/udp/1/quic-v1",
			bare: bare, "/ip6/2a00::10/tcp/1": "/ip6/2a00::10/tcp/1", named4: named4,
		} {
			if got := r.Lasting(addr(in)); got.String() != want {
				t.Errorf("%s is good for ever as %s, want %s", in, got, want)
			}
		}
		only6 = false
		if got, err := r.Resolve(t.Context(), relay, addr(named4)); err != nil || len(got) != 1 || r.Resolves(addr(bare)) {
			t.Errorf("with IPv4: %v, %v, %v", got, err, r.Resolves(addr(bare)))
		}
	})
}
