package host

import (
	"encoding/binary"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"

	"github.com/seed-b490fa12/swarm/host/identity"
)

// peerNumber is a made-up peer ID.
func peerNumber(i int) peer.ID {
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0, 36, 8, 1, 18, 32}, uint64(i)))
}

// Any peer can say that it speaks the protocol of relays; only members are taken for relays.
func TestAnybodySaysToBeARelay(t *testing.T) {
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	good := peerNumber(1)
	h, err := New(Config{Identity: key, NoListen: true, DHT: DHTOff, Member: func(p peer.ID) bool { return p == good }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for i := range 10 {
		if err := h.Peerstore().AddProtocols(peerNumber(i), proto.ProtoIDv2Hop); err != nil {
			t.Fatal(err)
		}
		if got := h.circuits.Usable(peerNumber(i)); got != (peerNumber(i) == good) {
			t.Errorf("peer %d: %v", i, got)
		}
	}
}
