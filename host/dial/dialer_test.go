package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/names"
)

// A peer that has moved is dialled where its name says before the places where it was, at every
// attempt; but however many addresses a name stands for, those that are known without it have their
// turn.
func TestResolvedAddressesHaveTheirTurn(t *testing.T) {
	at := func(net, port int) multiaddr.Multiaddr {
		return multiaddr.StringCast(fmt.Sprintf("/ip4/16.%d.0.10/tcp/%d", net, port))
	}
	name := multiaddr.StringCast("/dns4/vps.example/tcp/4747")
	order := NewOrder(func(peer.ID) bool { return true })
	d := &Dialer{Order: order}
	saved := []multiaddr.Multiaddr{name}
	var resolved []names.Addr
	for i := range 10 {
		saved = append(saved, at(1, i+1))
		resolved = append(resolved, names.Addr{Name: name, Addr: at(2, i+1)})
	}
	for attempt := range 3 {
		order.Give(saved...)
		d.learn(resolved, saved)
		var addrs []multiaddr.Multiaddr
		for i := range 10 {
			addrs = append(addrs, at(1, i+1), at(2, i+1))
		}
		early := make(map[string]bool)
		for _, a := range order.Rank(addrs) {
			early[a.Addr.String()] = a.Delay < restDelay
		}
		for _, want := range []multiaddr.Multiaddr{at(1, 1), at(2, 1)} {
			if !early[want.String()] {
				t.Errorf("attempt %d: %s has to wait", attempt, want)
			}
		}
	}
}

// What a relay's name stands for is dialled as a relay is; what somebody else's stands for is not
// first-hand.
func TestResolvedAddressIsAsGoodAsItsName(t *testing.T) {
	order := NewOrder(func(peer.ID) bool { return true })
	relay, rumour := multiaddr.StringCast("/dns4/vps.example/udp/1/quic-v1"), multiaddr.StringCast("/dns4/rig.example/tcp/1")
	addr, other := multiaddr.StringCast("/ip4/16.1.0.10/udp/1/quic-v1"), multiaddr.StringCast("/ip4/16.1.0.11/tcp/1")
	order.Relay(relay)
	order.Give(relay)
	(&Dialer{Order: order}).learn([]names.Addr{{Name: relay, Addr: addr}, {Name: rumour, Addr: other}}, nil)
	if !order.relays.has(addr) || !order.Given(addr) {
		t.Error("the address of a relay is not known as such")
	}
	if order.relays.has(other) || order.Given(other) {
		t.Error("an address of hearsay is first-hand")
	}
}

// The name in the address of a WebSocket in TLS is the server's name for TLS: what it stands for is
// known by it, and told without it.
func TestNameKeptForTLS(t *testing.T) {
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	d := &Dialer{Host: h, Names: names.New(nil, nil)}
	name := multiaddr.StringCast("/dns4/vps.example/tcp/443/tls/ws")
	out, as := d.named(t.Context(), []multiaddr.Multiaddr{name, name, multiaddr.StringCast("/ip4/16.1.0.10/tcp/1")})
	if len(out) != 1 || out[0].String() != "/dns4/vps.example/tcp/443/tls/sni/vps.example/ws" {
		t.Fatalf("resolved is %v", out)
	}
	told := as.names([]names.Addr{{Name: out[0], Addr: multiaddr.StringCast("/ip4/16.1.0.10/tcp/443/tls/sni/vps.example/ws")}})
	if !told[0].Name.Equal(name) {
		t.Errorf("the name is told as %v", told[0].Name)
	}
	if errs := as.errors([]names.Failure{{Name: out[0], Err: names.ErrServer}}); errs[0].Error() != "vps.example: the name server does not answer" {
		t.Errorf("told: %v", errs)
	}
}

// dialled notes which addresses a node would dial, and dials none.
type dialled struct{ addrs chan multiaddr.Multiaddr }

func (d dialled) InterceptAddrDial(_ peer.ID, a multiaddr.Multiaddr) bool {
	d.addrs <- a
	return false
}
func (dialled) InterceptPeerDial(peer.ID) bool              { return true }
func (dialled) InterceptAccept(network.ConnMultiaddrs) bool { return true }
func (dialled) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}
func (dialled) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// nat64 is the name server of a network with IPv6 alone.
type nat64 struct{ names.DNS }

func (nat64) LookupNetIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	if network == "ip6" && name == "ipv4only.arpa" {
		return []netip.Addr{netip.MustParseAddr("64:ff9b::c000:aa")}, nil
	}
	return nil, &net.DNSError{IsNotFound: true}
}

// A peer with an address of IPv4 is dialled by the translator of a network with IPv6 alone.
func TestTranslatedAddressIsDialled(t *testing.T) {
	addrs := make(chan multiaddr.Multiaddr, 8)
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.ConnectionGater(dialled{addrs}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	resolver := names.New(nat64{}, func() bool { return true })
	defer resolver.Close()
	d := &Dialer{Host: h, Names: resolver, Order: NewOrder(func(peer.ID) bool { return true })}
	vps := peer.AddrInfo{
		ID:    peer.ID("\x00\x01v"),
		Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/16.1.0.10/tcp/4747")},
	}
	if err := d.Connect(t.Context(), vps); err == nil {
		t.Error("connected with nobody")
	}
	close(addrs)
	var got []string
	for a := range addrs {
		got = append(got, a.String())
	}
	if !slices.Contains(got, "/ip6/64:ff9b::1001:a/tcp/4747") {
		t.Errorf("dialled: %v", got)
	}
	if len(vps.Addrs) != 1 {
		t.Errorf("the caller's addresses are %v", vps.Addrs)
	}
}
