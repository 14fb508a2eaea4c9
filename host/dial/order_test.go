package dial

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

func TestDialOrder(t *testing.T) {
	const (
		tcp    = "/ip4/192.168.1.7/tcp/4747"
		quic   = "/ip4/192.168.1.7/udp/4747/quic-v1"
		public = "/ip4/16.1.0.10/tcp/4747"
		web    = "/ip4/16.1.0.10/tcp/443/tls/ws"
		named  = "/dns4/a.example/tcp/4747"

		circuit = "/ip4/16.1.0.11/udp/4747/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit"
	)
	tests := []struct {
		name  string
		addrs []string
		first string
		later string // dialled only after a while; empty: nothing
		relay bool
	}{
		{"both", []string{quic, tcp}, tcp, quic, false},
		{"QUIC only", []string{quic}, quic, "", false},
		{"TCP only", []string{tcp}, tcp, "", false},
		{"two networks", []string{quic, public}, public, quic, false},
		{"a relay", []string{quic, tcp}, quic, tcp, true},
		{"WebSocket beside", []string{web, tcp}, tcp, web, false},
		{"WebSocket of a relay", []string{web, tcp, quic}, quic, web, true},
		{"WebSocket only", []string{web}, web, "", true},
		{"a name for a proxy", []string{named}, named, "", false},
		{"a name for a proxy beside", []string{web, named}, named, web, false},
		{"by way of a relay", []string{circuit, public}, public, circuit, false},
		{"only by way of a relay", []string{circuit}, circuit, "", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var addrs []multiaddr.Multiaddr
			for _, a := range tc.addrs {
				addrs = append(addrs, multiaddr.StringCast(a))
			}
			order := NewOrder(func(peer.ID) bool { return true })
			if tc.relay {
				order.relays.add(addrs...)
			}
			got := order.Rank(addrs)
			if len(got) != len(addrs) || got[0].Addr.String() != tc.first || got[0].Delay != 0 {
				t.Fatalf("got %v", got)
			}
			last := got[len(got)-1]
			if tc.later != "" && (last.Addr.String() != tc.later || last.Delay < kindDelay) {
				t.Errorf("last is %v", last)
			}
		})
	}
}

// TestNearAddressesHaveLessTime: where a peer has private addresses only, a circuit does not wait for
// long: who is not in the same network never answers there.
func TestNearAddressesHaveLessTime(t *testing.T) {
	order := NewOrder(func(peer.ID) bool { return true })
	near := multiaddr.StringCast("/ip4/192.168.1.7/tcp/4747")
	far := multiaddr.StringCast("/ip4/16.1.0.10/tcp/4747")
	circuit := multiaddr.StringCast("/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit")
	for want, addrs := range map[time.Duration][]multiaddr.Multiaddr{
		nearDelay: {near, circuit}, swarm.RelayDelay: {near, far, circuit}, 0: {circuit},
	} {
		got := order.Rank(addrs)
		if last := got[len(got)-1]; !last.Addr.Equal(circuit) || last.Delay != want {
			t.Errorf("%v: last is %v, want the circuit after %v", addrs, last, want)
		}
	}
}

// However many addresses a peer has, or somebody tells of: those that are trusted have their turn
// first, the newest before the others, and some places are left for ways by relays that are there.
func TestManyAddresses(t *testing.T) {
	at := func(ip, port int) multiaddr.Multiaddr {
		return multiaddr.StringCast(fmt.Sprintf("/ip4/16.1.0.%d/tcp/%d", ip, port))
	}
	const here, away = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X", "12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd"
	order := NewOrder(func(p peer.ID) bool { return p.String() == here })
	var addrs []multiaddr.Multiaddr
	for i := range 10 {
		order.given.add(at(10, i+1))
		addrs = append(addrs, at(10, i+1), at(11, i+1))
	}
	addrs = append(addrs, multiaddr.StringCast("/p2p/"+here+"/p2p-circuit"), multiaddr.StringCast("/p2p/"+away+"/p2p-circuit"))
	got := order.Rank(addrs)
	if len(got) != len(addrs) {
		t.Fatalf("%d of %d addresses", len(got), len(addrs))
	}
	delays := make(map[string]time.Duration)
	for _, a := range got {
		delays[a.Addr.String()] = a.Delay
	}
	early, announced := 0, 0
	for i := range 10 {
		given := delays[at(10, i+1).String()]
		if newest := i >= 10-(firstDials-announcedFirst); newest != (given < restDelay) {
			t.Errorf("address %d is dialled after %v", i+1, given)
		}
		if given < restDelay {
			early++
		}
		if d := delays[at(11, i+1).String()]; d < announcedDelay {
			t.Errorf("an address that is only announced is dialled after %v", d)
		} else if d < restDelay {
			announced++
		}
	}
	if early+announced != firstDials || announced != announcedFirst {
		t.Errorf("%d and %d are dialled at once", early, announced)
	}
	if d := delays["/p2p/"+here+"/p2p-circuit"]; d >= restDelay {
		t.Errorf("the way by a relay is tried after %v", d)
	}
	if d := delays["/p2p/"+away+"/p2p-circuit"]; d != awayDelay {
		t.Errorf("the way by a relay that is away is tried after %v", d)
	}
}

// A circuit does not wait for addresses of a peer with whom a connection was found dead a moment ago.
func TestSilentAddressesHoldUpNoCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, other := multiaddr.StringCast("/ip4/16.1.0.10/udp/4747/quic-v1"), multiaddr.StringCast("/ip4/16.1.0.12/tcp/4747")
		sameIP, inLAN := multiaddr.StringCast("/ip4/16.1.0.10/tcp/4747"), multiaddr.StringCast("/ip4/192.168.1.7/tcp/4747")
		circuit := multiaddr.StringCast("/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit")
		order := NewOrder(func(peer.ID) bool { return true })
		delay := func(direct ...multiaddr.Multiaddr) time.Duration {
			for _, ranked := range order.Rank(append(direct, circuit)) {
				if ranked.Addr.Equal(circuit) {
					return ranked.Delay
				}
			}
			t.Fatal("the circuit is not dialled")
			return 0
		}
		if d := delay(sameIP); d != swarm.RelayDelay {
			t.Errorf("before: %v", d)
		}
		order.Silenced(dead)
		for want, direct := range map[time.Duration][]multiaddr.Multiaddr{
			0: {sameIP, dead}, nearDelay: {sameIP, inLAN}, swarm.RelayDelay: {sameIP, other},
		} {
			if d := delay(direct...); d != want {
				t.Errorf("beside %v: %v, want %v", direct, d, want)
			}
		}
		time.Sleep(silentFor + 1)
		if d := delay(sameIP); d != swarm.RelayDelay {
			t.Errorf("later: %v", d)
		}
		if order.Silenced(other); len(order.silent.since) != 1 {
			t.Errorf("%d addresses are kept", len(order.silent.since))
		}
	})
}

func TestAddrSetForgets(t *testing.T) {
	s := addrSet{most: 2}
	for i := range 3 {
		s.add(multiaddr.StringCast(fmt.Sprintf("/ip4/16.1.0.11/tcp/%d", i+1)))
		if len(s.addrs) != min(i+1, 2) {
			t.Errorf("after %d it holds %d", i+1, len(s.addrs))
		}
	}
}
