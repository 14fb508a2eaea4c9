package limits

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
)

// Strangers may neither ask this node to dial somewhere nor say whether it can be dialled.
func TestLibraryProtocolsAreForMembers(t *testing.T) {
	member, stranger := peerNumber(1), peerNumber(2)
	g := &guardedResources{&network.NullResourceManager{}, func(p peer.ID) bool { return p == member }}
	for _, tc := range []struct {
		id       protocol.ID
		d        network.Direction
		stranger bool // may do it
	}{
		{autonatv2.DialProtocol, network.DirInbound, false},
		{autonatv2.DialProtocol, network.DirOutbound, false},
		{autonatv2.DialBackProtocol, network.DirInbound, true}, // from an identity made for it
		{proto.ProtoIDv2Stop, network.DirInbound, false},
		{proto.ProtoIDv2Stop, network.DirOutbound, true},
		{"/swarm/any/1.0.0", network.DirInbound, true},
	} {
		for p, want := range map[peer.ID]bool{member: true, stranger: tc.stranger} {
			s, err := g.OpenStream(p, tc.d)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetProtocol(tc.id); (err == nil) != want {
				t.Errorf("%s, %s, member %v: %v", tc.id, tc.d, p == member, err)
			}
		}
	}
}
