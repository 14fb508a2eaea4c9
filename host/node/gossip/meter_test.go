package gossip

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host/limits"
)

func TestRPCCounter(t *testing.T) {
	var stream []byte
	for _, n := range []int{0, 1, 5, 127, 128, 300, 70_000, 2} {
		stream = append(binary.AppendUvarint(stream, uint64(n)), make([]byte, n)...)
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, len(stream)} {
		var c rpcCounter
		began := 0
		for at := 0; at < len(stream); at += piece {
			began += c.add(stream[at:min(at+piece, len(stream))])
		}
		if began != 8 || c != (rpcCounter{}) {
			t.Errorf("in pieces of %d: %d RPCs, %+v", piece, began, c)
		}
	}
}

type readStream struct {
	network.Stream
	from *bytes.Reader
}

func (s readStream) Read(b []byte) (int, error) { return s.from.Read(b) }

// A peer that sends many small RPCs is read at its rate, also on a new stream.
func TestRPCsAreMetered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := limits.NewRates(rpcRate, rpcBurst)
		read := func(p peer.ID, rpcs int) time.Duration {
			began := time.Now()
			s := &meteredStream{Stream: readStream{from: bytes.NewReader(bytes.Repeat([]byte{1, 0}, rpcs))}, budget: b.Of(p), bytes: rate.NewLimiter(rate.Inf, 0)}
			for buf := make([]byte, 4096); ; {
				if _, err := s.Read(buf); err != nil {
					return time.Since(began)
				}
			}
		}
		if took := read("a", rpcBurst); took != 0 {
			t.Errorf("the burst took %v", took)
		}
		if took := read("a", 3*rpcRate); took.Round(time.Millisecond) != 3*time.Second {
			t.Errorf("%d further RPCs took %v, want 3 s", 3*rpcRate, took)
		}
		if took := read("b", rpcBurst); took != 0 {
			t.Errorf("another peer waited %v", took)
		}
	})
}

// A peer that sends large RPCs is read at its rate of bytes.
func TestRPCBytesAreMetered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = rpcByteBurst + 3*rpcBytes
		rpc := append(binary.AppendUvarint(nil, size-4), make([]byte, size-4)...)
		s := &meteredStream{
			Stream: readStream{from: bytes.NewReader(rpc)},
			budget: limits.NewRates(rpcRate, rpcBurst).Of("a"), bytes: limits.NewRates(rpcBytes, rpcByteBurst).Of("a"),
		}
		began := time.Now()
		for buf := make([]byte, 4096); ; {
			if _, err := s.Read(buf); err != nil {
				break
			}
		}
		if took := time.Since(began).Round(time.Millisecond); took != 3*time.Second {
			t.Errorf("it took %v, want 3 s", took)
		}
	})
}

// What an honest RPC may hold passes and costs little; one item more is dropped; both are charged
// for.
func TestRPCsAreWeighed(t *testing.T) {
	ids := func(n int) []string { return make([]string, n) }
	many := func(n int) (c *pb.ControlMessage) {
		c = &pb.ControlMessage{}
		for range n {
			c.Prune = append(c.Prune, &pb.ControlPrune{})
		}
		return c
	}
	for _, tt := range []struct {
		name string
		rpc  *pb.RPC
		cost int
		ok   bool
	}{
		{"nothing", &pb.RPC{}, 0, true},
		{"one message", &pb.RPC{Publish: make([]*pb.Message, 1)}, 0, true},
		{"messages", &pb.RPC{Publish: make([]*pb.Message, rpcMessages)}, rpcMessages - 1, true},
		{"a message more", &pb.RPC{Publish: make([]*pb.Message, rpcMessages+1)}, rpcMessages, false},
		{"heard", &pb.RPC{Control: &pb.ControlMessage{Ihave: []*pb.ControlIHave{{MessageIDs: ids(rpcHeard)}}}}, rpcHeard / rpcItems, true},
		{"one more heard", &pb.RPC{Control: &pb.ControlMessage{Ihave: []*pb.ControlIHave{{MessageIDs: ids(rpcHeard + 1)}}}}, rpcHeard / rpcItems, false},
		{"wanted", &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: ids(rpcWanted)}}}}, rpcWanted / rpcItems, true},
		{"one more wanted", &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: ids(rpcWanted + 1)}}}}, rpcWanted / rpcItems, false},
		{"unwanted", &pb.RPC{Control: &pb.ControlMessage{Idontwant: []*pb.ControlIDontWant{{MessageIDs: ids(rpcWanted + 1)}}}}, rpcWanted / rpcItems, false},
		{"controls", &pb.RPC{Control: many(rpcControls)}, rpcControls / rpcItems, true},
		{"a control more", &pb.RPC{Control: many(rpcControls + 1)}, rpcControls / rpcItems, false},
		{"subscriptions", &pb.RPC{Subscriptions: make([]*pb.RPC_SubOpts, rpcControls+1)}, rpcControls + 1, false},
		{"a subscription", &pb.RPC{Subscriptions: make([]*pb.RPC_SubOpts, 1)}, 1, true},
	} {
		if cost, err := weigh(tt.rpc); cost != tt.cost || (err == nil) != tt.ok {
			t.Errorf("%s: costs %d, %v; want %d, passes %v", tt.name, cost, err, tt.cost, tt.ok)
		}
	}
}

// The sender of a full RPC is heard of later.
func TestFullRPCsAreCharged(t *testing.T) {
	h := &pubsubHost{rpcs: limits.NewRates(rpcRate, rpcBurst)}
	if err := h.inspect("a", &pubsub.RPC{RPC: pb.RPC{Publish: make([]*pb.Message, 20_000)}}); err == nil {
		t.Error("it passes")
	}
	if left := h.rpcs.Of("a").Tokens(); left > 1 {
		t.Errorf("%v RPCs are left", left)
	}
}
