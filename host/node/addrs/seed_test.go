package addrs

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// Whoever calls itself a seed has us dial plain addresses, or come by way of itself, and nothing on
// this machine.
func TestFromSeed(t *testing.T) {
	id := func() peer.ID {
		p, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	seed, other := id(), id()
	circuit := func(relay peer.ID) string { return "/ip4/203.0.113.7/tcp/1/p2p/" + relay.String() + "/p2p-circuit" }
	const lan, public, loopback, name = "/ip4/192.168.1.7/tcp/4747", "/ip4/198.51.100.1/udp/4747/quic-v1", "/ip4/127.0.0.1/tcp/6379", "/dns4/example.com/tcp/80"
	bySeed := "/p2p/" + seed.String() + "/p2p-circuit"
	for _, tc := range []struct {
		name        string
		told        []string
		sameMachine bool
		want        []string
	}{
		{"plain", []string{lan, public}, false, []string{lan, public}},
		{"loopback", []string{loopback, lan}, false, []string{lan}},
		{"loopback, on this machine", []string{loopback}, true, []string{loopback}},
		{"a name", []string{name}, true, nil},
		{"another relay", []string{circuit(other)}, true, nil},
		{"by the seed, at made-up addresses", []string{circuit(seed), bySeed, circuit(seed)}, false, []string{bySeed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := peer.PeerRecord{PeerID: other}
			for _, a := range tc.told {
				rec.Addrs = append(rec.Addrs, multiaddr.StringCast(a))
			}
			var got []string
			for _, a := range fromSeed(&rec, seed, tc.sameMachine).Addrs {
				got = append(got, a.String())
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAddrBounds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		input interface{ Validate() error }
		ok    bool
	}{
		{"most members", Addr{Members: make([]membership.Contact, membership.MaxContacts)}, true},
		{"members", Addr{Members: make([]membership.Contact, membership.MaxContacts+1)}, false},
		{"longest record", Addr{Members: []membership.Contact{{Record: make([]byte, book.MaxRecord)}}}, true},
		{"record", Addr{Members: []membership.Contact{{Record: make([]byte, book.MaxRecord+1)}}}, false},
		{"most roles", AddrRequest{Roles: make([]trust.Role, maxRoles)}, true},
		{"roles", AddrRequest{Roles: make([]trust.Role, maxRoles+1)}, false},
	} {
		if err := tt.input.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
