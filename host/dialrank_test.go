package host

import (
	"fmt"
	"slices"
	"testing"

	"github.com/multiformats/go-multiaddr"
)

func TestDialOrder(t *testing.T) {
	const (
		tcp    = "/ip4/192.168.1.7/tcp/4747"
		quic   = "/ip4/192.168.1.7/udp/4747/quic-v1"
		public = "/ip4/16.1.0.10/tcp/4747"

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
		{"by way of a relay", []string{circuit, tcp}, tcp, circuit, false},
		{"only by way of a relay", []string{circuit}, circuit, "", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var addrs []multiaddr.Multiaddr
			for _, a := range tc.addrs {
				addrs = append(addrs, multiaddr.StringCast(a))
			}
			order := newDialOrder()
			if tc.relay {
				order.relays.add(addrs...)
			}
			got := order.rank(addrs)
			if len(got) != len(addrs) || got[0].Addr.String() != tc.first || got[0].Delay != 0 {
				t.Fatalf("got %v", got)
			}
			last := got[len(got)-1]
			if tc.later != "" && (last.Addr.String() != tc.later || last.Delay < quicDelay) {
				t.Errorf("last is %v", last)
			}
		})
	}
}

// However many addresses somebody tells of, the one that is trusted has its turn before all of them.
func TestGivenAddressesFirst(t *testing.T) {
	good := multiaddr.StringCast("/ip4/16.1.0.10/udp/4747/quic-v1")
	order := newDialOrder()
	order.given.add(good)
	addrs := []multiaddr.Multiaddr{good}
	for i := range 64 {
		addrs = append(addrs, multiaddr.StringCast(fmt.Sprintf("/ip4/16.1.0.11/tcp/%d", i+1)))
	}
	slices.Reverse(addrs)
	got := order.rank(addrs)
	if len(got) != len(addrs) || !got[0].Addr.Equal(good) || got[0].Delay != 0 || got[1].Delay < toldDelay {
		t.Errorf("got %v, %v, …", got[0], got[1])
	}
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
