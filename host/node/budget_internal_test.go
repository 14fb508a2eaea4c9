package node

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
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
		b := newBudgets(rpcRate, rpcBurst)
		read := func(p peer.ID, rpcs int) time.Duration {
			began := time.Now()
			s := &meteredStream{Stream: readStream{from: bytes.NewReader(bytes.Repeat([]byte{1, 0}, rpcs))}, budget: b.of(p)}
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

func TestBudgetsAreBounded(t *testing.T) {
	b := newBudgets(rate.Every(noticeEvery), 1)
	for i := range budgetPeers + 1 {
		if !b.of(peer.ID(fmt.Sprint(i))).Allow() {
			t.Errorf("peer %d has nothing", i)
		}
	}
	if b.peers.Len() != budgetPeers {
		t.Errorf("%d peers are kept", b.peers.Len())
	}
	if b.of("1").Allow() {
		t.Error("a second line within a second")
	}
}
