package reach

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
)

func TestInterfaces(t *testing.T) {
	const (
		loop, old, fresh, six = "/ip4/127.0.0.1/tcp/4747", "/ip4/192.168.1.7/tcp/4747", "/ip4/10.0.0.9/tcp/4747", "/ip6/2001:db8::9/tcp/4747"
		public                = "/ip4/8.8.4.4/tcp/4747" // as others see it
		relayed               = "/ip4/192.168.1.7/tcp/4747/p2p/12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd/p2p-circuit"
		quic                  = "/ip4/192.168.1.7/udp/4747/quic-v1"
		freshQUIC             = "/ip4/10.0.0.9/udp/4747/quic-v1"
	)
	at := time.Now()
	var i Interfaces
	listening := addrsOf("/ip4/0.0.0.0/tcp/4747", "/ip4/0.0.0.0/udp/4747/quic-v1", "/ip6/::/tcp/4747", "/ip4/127.0.0.1/tcp/9999")
	check := func(what string, known []string, want ...string) {
		t.Helper()
		var got []string
		for _, a := range i.Correct(addrsOf(known...), func() []multiaddr.Multiaddr { return listening }, at) {
			got = append(got, a.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", what, got, want)
		}
	}
	see := func(lost, got int, ips ...string) {
		t.Helper()
		var addrs []netip.Addr
		for _, ip := range ips {
			addrs = append(addrs, netip.MustParseAddr(ip))
		}
		if c := i.see(addrs, nil, at); len(c.Lost) != lost || len(c.Got) != got || c.Rerouted {
			t.Errorf("%v after seeing %v, want %d lost and %d got", c, ips, lost, got)
		}
	}
	check("before the first look", []string{old}, old)
	see(0, 0, "192.168.1.7")
	see(0, 0, "192.168.1.7")
	check("at home", []string{loop, old, quic, public, relayed}, loop, old, quic, public, relayed)

	see(1, 2, "10.0.0.9", "2001:db8::9")
	check("moved, and the library does not know", []string{loop, old, quic, public, relayed}, loop, public, relayed, fresh, freshQUIC, six)
	check("it knows", []string{loop, fresh, freshQUIC, six, public}, loop, fresh, freshQUIC, six, public)
	at = at.Add(time.Minute)
	see(2, 1, "192.168.1.7")
	check("at home again", []string{loop, fresh, six}, loop, old, quic)
	at = at.Add(libraryLag + time.Second)
	see(0, 0, "192.168.1.7")
	check("long after", []string{fresh}, fresh) // somebody else's, by now
	listening = nil
	see(0, 1, "192.168.1.7", "10.0.0.9")
	check("it listens nowhere", []string{old}, old)
}

// TestRerouted: a change of the default route alone, with all addresses as they were, is seen.
func TestRerouted(t *testing.T) {
	wifi, cable := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("10.0.0.9")
	own := []netip.Addr{wifi, cable}
	var i Interfaces
	for _, step := range []struct {
		from []netip.Addr
		want bool
	}{
		{[]netip.Addr{wifi}, false},
		{[]netip.Addr{wifi}, false},
		{[]netip.Addr{cable}, true},
		{[]netip.Addr{cable}, false},
		{nil, true},
	} {
		if c := i.see(own, step.from, time.Now()); c.Rerouted != step.want || len(c.Lost)+len(c.Got) > 0 {
			t.Errorf("%+v with %v as source, want %v", c, step.from, step.want)
		}
	}
}

// TestSources: what the kernel would send from is an address of this machine.
func TestSources(t *testing.T) {
	own, err := machineAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range Sources() {
		if !slices.Contains(own, a) {
			t.Errorf("it would send from %v, which is none of %v", a, own)
		}
	}
}

func addrsOf(texts ...string) (out []multiaddr.Multiaddr) {
	for _, s := range texts {
		out = append(out, multiaddr.StringCast(s))
	}
	return out
}
