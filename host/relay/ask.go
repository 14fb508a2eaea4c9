package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: the client of circuits takes any connection with
// the relay, and refuses a reservation that is over by our clock, as it is wherever a machine's
// clock is ahead. Upstream: https://github.com/libp2p/go-libp2p/pull/1199. The file may go when
// TestLibraryGoesByTheClockOfTheRelay fails.

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
)

const maxReservation = 64 << 10 // bytes of a relay's answer

// ask asks for a reservation over this very connection, and returns the relay's addresses, public
// ones first.
func ask(ctx context.Context, c network.Conn) ([]multiaddr.Multiaddr, error) {
	s, err := openStream(ctx, c, proto.ProtoIDv2Hop)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := util.NewDelimitedReader(s, maxReservation)
	defer r.Close()
	msg := pb.HopMessage{Type: pb.HopMessage_RESERVE.Enum()}
	if err := util.NewDelimitedWriter(s).WriteMsg(&msg); err != nil {
		s.Reset()
		return nil, err
	}
	msg.Reset()
	if err := r.ReadMsg(&msg); err != nil {
		s.Reset()
		return nil, err
	}
	if msg.GetType() != pb.HopMessage_STATUS || msg.GetStatus() != pb.Status_OK {
		return nil, fmt.Errorf("the relay refuses a reservation: %s", msg.GetStatus())
	}
	var addrs []multiaddr.Multiaddr
	for _, b := range msg.GetReservation().GetAddrs() {
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			addrs = append(addrs, a)
		}
	}
	slices.SortStableFunc(addrs, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(distance(a), distance(b)) })
	return addrs, nil
}

// openStream opens a stream over this very connection and waits until the other side has agreed to
// the protocol.
func openStream(ctx context.Context, c network.Conn, id protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // the zero time is none
	err = s.SetDeadline(deadline)
	if err == nil {
		err = s.SetProtocol(id)
	}
	if err == nil {
		err = multistream.SelectProtoOrFail(id, s)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// addrAt is the address of this node through the relay p at a: one that leads to p, and through no
// other relay.
func addrAt(a multiaddr.Multiaddr, p peer.ID) (multiaddr.Multiaddr, bool) {
	at, id := peer.SplitAddr(a)
	if id != p || at == nil {
		return nil, false
	}
	for _, part := range at {
		if code := part.Protocol().Code; code == multiaddr.P_P2P || code == multiaddr.P_CIRCUIT {
			return nil, false
		}
	}
	return a.Encapsulate(multiaddr.StringCast("/p2p-circuit")), true
}

func distance(a multiaddr.Multiaddr) int {
	if manet.IsPublicAddr(a) {
		return 0
	}
	return 1
}
