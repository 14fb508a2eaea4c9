package relay

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
)

// TestLibraryGoesByTheClockOfTheRelay fails when ask.go may go: when the library's client takes a
// reservation whose end is past by our clock. See docs/upstream.md.
func TestLibraryGoesByTheClockOfTheRelay(t *testing.T) {
	r, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetStreamHandler(proto.ProtoIDv2Hop, func(s network.Stream) {
		defer s.Close()
		in := util.NewDelimitedReader(s, 4096)
		defer in.Close()
		var msg pb.HopMessage
		if err := in.ReadMsg(&msg); err != nil {
			t.Error(err)
			return
		}
		end := uint64(time.Now().Add(-time.Hour).Unix()) // by the clock of the relay in half an hour
		_ = util.NewDelimitedWriter(s).WriteMsg(&pb.HopMessage{
			Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_OK.Enum(), Reservation: &pb.Reservation{Expire: &end},
		})
	})
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	info := peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}
	if err := h.Connect(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(t.Context(), h, info); err == nil {
		t.Error("the library takes a reservation by the clock of another machine")
	}
}
