package host

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"
)

const somebody = "12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd"

// placeWith has a node ask for a place with a relay whose clock is ahead of ours, and which says that it is at addrs.
func placeWith(t *testing.T, ahead time.Duration, addrs ...string) reservation {
	t.Helper()
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
		expire := uint64(time.Now().Add(ahead + reservationTime).Unix())
		res := &pb.Reservation{Expire: &expire}
		for _, a := range addrs {
			res.Addrs = append(res.Addrs, multiaddr.StringCast(a).Encapsulate(multiaddr.StringCast("/p2p/"+r.ID().String())).Bytes())
		}
		res.Addrs = append(res.Addrs, multiaddr.StringCast("/ip4/203.0.113.7/tcp/25/p2p/"+somebody).Bytes())
		util.NewDelimitedWriter(s).WriteMsg(&pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_OK.Enum(), Reservation: res})
	})
	key, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Identity: key, NoListen: true, DHT: DHTOff, Member: func(peer.ID) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Connect(t.Context(), peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}); err != nil {
		t.Fatal(err)
	}
	for !w.isRelay(r.ID()) { // identify is under way
		if !wait(t.Context(), 5*time.Millisecond) {
			t.Fatal("it is not known as a relay")
		}
	}
	if _, failed := w.reserve(t.Context()); failed {
		t.Error("it is worth trying again")
	}
	return w.reserved.held[r.ID()]
}

// A place lasts as long as it lasts, whatever time the relay thinks it is: many a rig has no clock of its own.
func TestPlaceByOurOwnClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the same": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			res := placeWith(t, ahead)
			if left := time.Until(res.until); left > reservationTime || left < reservationTime-time.Minute {
				t.Errorf("held for %v, want %v", left, reservationTime)
			}
			if left := time.Until(res.renew); left > reservationHalf {
				t.Errorf("renewed after %v", left)
			}
		})
	}
}

// What a relay says of its addresses is what others are told to dial: it may name itself and nobody else.
func TestPlaceIsWithTheRelay(t *testing.T) {
	res := placeWith(t, 0, "/ip4/203.0.113.8/tcp/4747", "/ip4/203.0.113.9/udp/4747/quic-v1/p2p/"+somebody+"/p2p-circuit")
	if len(res.addrs) != 1 || RelayOf(res.addrs[0]) != res.conn.RemotePeer() {
		t.Errorf("announced: %v", res.addrs)
	}
}

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

// Whoever says so speaks the protocol of relays; only members are taken for relays.
func TestAnybodySaysToBeARelay(t *testing.T) {
	key, err := NewIdentity()
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
		if got := h.usableRelay(peerNumber(i)); got != (peerNumber(i) == good) {
			t.Errorf("peer %d: %v", i, got)
		}
	}
}
