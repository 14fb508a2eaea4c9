package relay

import (
	"log/slog"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const somebody = "12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd"

// reserveWith reserves with a relay whose clock is ahead of ours, and which says that it is at addrs.
func reserveWith(t *testing.T, ahead time.Duration, addrs ...string) reservation {
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
	w, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Connect(t.Context(), peer.AddrInfo{ID: r.ID(), Addrs: r.Addrs()}); err != nil {
		t.Fatal(err)
	}
	circuits := NewCircuits(w, CircuitsConfig{
		Book: emptyBook{}, Trusted: func(peer.ID) bool { return true }, Learn: func(...multiaddr.Multiaddr) {},
	})
	for !circuits.Claimed(r.ID()) { // identify is under way
		if !backoff.Wait(t.Context(), 5*time.Millisecond) {
			t.Fatal("it is not known as a relay")
		}
	}
	reserved := NewReservations(w, circuits, ReservationsConfig{
		Kept: func(peer.ID) bool { return false }, Gained: func() {}, Logger: slog.New(slog.DiscardHandler),
	})
	if _, failed := reserved.look(t.Context()); failed {
		t.Error("it is worth trying again")
	}
	return reserved.held[r.ID()]
}

// emptyBook is an address book with nothing in it.
type emptyBook struct{}

func (emptyBook) Addrs(peer.ID) []multiaddr.Multiaddr { return nil }
func (emptyBook) IsRelay(peer.ID) bool                { return false }
func (emptyBook) Relays() []peer.AddrInfo             { return nil }

// A reservation lasts for its time by our own clock, whatever that of the relay says: many rigs
// have none.
func TestReservationByOurOwnClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the same": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			res := reserveWith(t, ahead)
			if left := time.Until(res.until); left > reservationTime || left < reservationTime-time.Minute {
				t.Errorf("held for %v, want %v", left, reservationTime)
			}
			if left := time.Until(res.renew); left > reservationHalf {
				t.Errorf("renewed after %v", left)
			}
		})
	}
}

// onlyConns is a host that knows no more than connections with one peer.
type onlyConns struct {
	corehost.Host
	conns connsOf
}

func (h onlyConns) Network() network.Network { return h.conns }

type connsOf struct {
	network.Network
	all []network.Conn
}

func (c connsOf) ConnsToPeer(peer.ID) []network.Conn { return c.all }

// stopStream is one of a circuit.
type stopStream struct{ network.Stream }

func (stopStream) Protocol() protocol.ID { return proto.ProtoIDv2Stop }

// Of several connections with a relay, that one is used which outlives a change of this node's outside
// address; one by QUIC that the relay has dialled besides, which does not, is closed once the other is
// known to work.
func TestConnectionThatLasts(t *testing.T) {
	const quic, tcp = direct, "/ip4/203.0.113.7/tcp/4747"
	out, in := network.DirOutbound, network.DirInbound
	for _, tt := range []struct {
		name  string
		conns []*path       // the first is the right one
		heard time.Duration // ago, over the right one
		busy  bool
		parts bool
	}{
		{"an older one that we dialled", []*path{{addr: quic, dir: out, age: time.Hour}, {addr: quic, dir: in, age: time.Minute}}, 0, false, true},
		{"the other is in use", []*path{{addr: quic, dir: out, age: time.Hour}, {addr: quic, dir: in, age: time.Minute}}, 0, true, false},
		{"circuits go over the other", []*path{
			{addr: quic, dir: out, age: time.Hour},
			{addr: quic, dir: in, age: time.Minute, streams: []network.Stream{stopStream{}}},
		}, 0, false, false},
		{"nothing heard since", []*path{{addr: quic, dir: out, age: time.Hour}, {addr: quic, dir: in, age: time.Minute}}, time.Minute, false, false},
		{"a newer process", []*path{{addr: quic, dir: out, age: time.Second}, {addr: quic, dir: out, age: time.Minute}}, 0, false, false},
		{"over TCP the newer one", []*path{{addr: tcp, dir: in, age: time.Minute}, {addr: tcp, dir: out, age: time.Hour}}, 0, false, false},
		{"not through another relay", []*path{{addr: tcp, dir: in, age: time.Hour}, {addr: circuit, dir: out, age: time.Minute}}, 0, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			right, other := tt.conns[0], tt.conns[1]
			h := onlyConns{conns: connsOf{all: []network.Conn{other, right}}}
			r := NewReservations(h, nil, ReservationsConfig{Busy: func(network.Conn) bool { return tt.busy }})
			if got := r.lasting(somebody); got != network.Conn(right) {
				t.Errorf("got %v", got)
			}
			r.part(right, &watched{at: time.Now().Add(-tt.heard)})
			if right.closed || other.closed != tt.parts {
				t.Errorf("closed: %v, the other: %v, want %v", right.closed, other.closed, tt.parts)
			}
		})
	}
}

// The addresses that a relay names are those that others dial: it may name only its own.
func TestReservationIsWithTheRelay(t *testing.T) {
	res := reserveWith(t, 0, "/ip4/203.0.113.8/tcp/4747", "/ip4/203.0.113.9/udp/4747/quic-v1/p2p/"+somebody+"/p2p-circuit")
	if len(res.addrs) != 1 || route.RelayOf(res.addrs[0]) != res.conn.RemotePeer() {
		t.Errorf("announced: %v", res.addrs)
	}
}
