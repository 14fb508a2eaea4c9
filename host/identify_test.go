package host

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
)

// TestIdentifyAgain has a peer say nothing to the first questions what it is, and answer properly then.
func TestIdentifyAgain(t *testing.T) {
	for _, tt := range []struct {
		unanswered int
		most       time.Duration // until it is known: 5 s for the library's question, 15 s for each of ours, and the pauses
	}{{0, 0}, {1, 7 * time.Second}, {3, 45 * time.Second}} {
		t.Run(fmt.Sprint(tt.unanswered), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				peer := w.node(1, nil)
				defer peer.stop()
				_, answer, err := peer.Mux().Negotiate(&asPushed{r: selecting(identify.ID)})
				if err != nil {
					t.Fatal(err)
				}
				var questions atomic.Int64
				peer.SetStreamHandler(identify.ID, func(s network.Stream) {
					if questions.Add(1) > int64(tt.unanswered) {
						if err := answer(identify.ID, s); err != nil {
							t.Error(err)
						}
						return
					}
					w.pass(time.Minute)
					_ = s.Reset()
				})
				n := w.node(2, nil)
				defer n.stop()
				events, err := n.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated)})
				if err != nil {
					t.Fatal(err)
				}
				defer events.Close()
				if err := n.Connect(t.Context(), peer.info()); err != nil {
					t.Fatal(err)
				}
				took := until(t, 2*time.Minute, "the peer's version", func() bool {
					v, err := n.Peerstore().Get(peer.ID(), "AgentVersion")
					return err == nil && v != ""
				})
				if took > tt.most {
					t.Errorf("it took %v, want %v at most", took, tt.most)
				}
				if p, err := n.Peerstore().SupportsProtocols(peer.ID(), identify.ID, "/no/such"); len(p) != 1 || err != nil {
					t.Errorf("of its protocols is known: %v, %v", p, err)
				}
				w.pass(time.Hour) // nobody is asked again who has answered
				if got, want := questions.Load(), int64(tt.unanswered)+1; got != want {
					t.Errorf("%d questions, want %d", got, want)
				}
				heard := false
				for len(events.Out()) > 0 {
					e, ok := (<-events.Out()).(event.EvtPeerIdentificationCompleted)
					heard = heard || ok && e.Peer == peer.ID() && e.Conn.RemotePeer() == peer.ID()
				}
				if !heard {
					t.Error("who follows the events did not hear who it is")
				}
			})
		})
	}
}

// TestIdentifyNever connects with a peer that never says what it is: it is asked more and more rarely, and not when it has gone.
func TestIdentifyNever(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		peer, n := w.node(1, nil), w.node(2, nil)
		defer n.stop()
		var questions atomic.Int64
		peer.SetStreamHandler(identify.ID, func(s network.Stream) {
			questions.Add(1)
			_ = s.Reset()
		})
		if err := n.Connect(t.Context(), peer.info()); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		before := questions.Load()
		if before < 60 || before > 70 { // after 1, 3, 7, 15, 31 and 63 s, and then once a minute
			t.Errorf("%d questions in an hour", before)
		}
		peer.stop()
		w.pass(time.Hour)
		if more := questions.Load() - before; more != 0 {
			t.Errorf("%d questions to one who has gone", more)
		}
	})
}
