package host

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multistream"
	"github.com/multiformats/go-varint"
)

// questions has n ask those who ask what it is to wait so long, as many times as there are delays,
// and then answers at once; a delay of a minute is for ever. It returns how often it was asked.
func (n *node) questions(t *testing.T, delays ...time.Duration) *atomic.Int64 {
	t.Helper()
	_, answer, err := n.Mux().Negotiate(proposalOf(identify.ID))
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	n.SetStreamHandler(identify.ID, func(s network.Stream) {
		i := int(asked.Add(1)) - 1
		if i < len(delays) {
			<-time.After(delays[i])
			if delays[i] >= time.Minute {
				_ = s.Reset()
				return
			}
		}
		_ = answer(identify.ID, s) // who asks may have given up
	})
	return &asked
}

// proposalOf returns a stream on which a peer proposes a protocol.
func proposalOf(id protocol.ID) io.ReadWriteCloser {
	var b bytes.Buffer
	for _, token := range []string{multistream.ProtocolID, string(id)} {
		b.Write(varint.ToUvarint(uint64(len(token)) + 1))
		b.WriteString(token + "\n")
	}
	return &proposal{Reader: &b}
}

type proposal struct{ io.Reader }

func (*proposal) Write(b []byte) (int, error) { return len(b), nil }
func (*proposal) Close() error                { return nil }

// knows reports whether n has heard what other is.
func (n *node) knows(other *node) func() bool {
	return func() bool {
		version, err := n.Peerstore().Get(other.ID(), "AgentVersion")
		protocols, errs := n.Peerstore().SupportsProtocols(other.ID(), identify.ID)
		return err == nil && errs == nil && version != "" && len(protocols) == 1
	}
}

// TestIdentifyAgain has a peer be late when it is asked what it is.
func TestIdentifyAgain(t *testing.T) {
	const never = time.Minute
	for _, tt := range []struct {
		name        string
		delays      []time.Duration
		least, most time.Duration // until it is known: 5 s for the library's question, 15 s for each of ours, and the pauses
		asked       int64
	}{
		{"never", nil, 0, 0, 1},
		{"once", []time.Duration{never}, 5 * time.Second, 7 * time.Second, 2},
		{"three times", []time.Duration{never, never, never}, 35 * time.Second, 45 * time.Second, 4},
		{"always", []time.Duration{14 * time.Second, 14 * time.Second}, 19 * time.Second, 21 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				peer, n := w.node(1, nil), w.node(2, nil)
				defer peer.stop()
				defer n.stop()
				w.pass(time.Minute) // until they have no news to push
				asked := peer.questions(t, tt.delays...)
				events, err := n.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
				if err != nil {
					t.Fatal(err)
				}
				defer events.Close()
				start := time.Now()
				if err := n.Host.Host.Connect(t.Context(), peer.info()); err != nil {
					t.Fatal(err)
				}
				until(t, 2*time.Minute, "what the peer is", n.knows(peer))
				if took := time.Since(start).Truncate(time.Second); took < tt.least || took > tt.most {
					t.Errorf("it took %v, want %v to %v", took, tt.least, tt.most)
				}
				if e := (<-events.Out()).(event.EvtPeerIdentificationCompleted); e.Peer != peer.ID() || e.Conn != n.Network().ConnsToPeer(peer.ID())[0] {
					t.Errorf("who follows the events heard of %v on %v", e.Peer, e.Conn)
				}
				w.pass(time.Hour) // nobody is asked again who has answered
				if got := asked.Load(); got != tt.asked {
					t.Errorf("%d questions, want %d", got, tt.asked)
				}
			})
		})
	}
}

// TestIdentifyCrowd has forty peers of one network be late at the same time, and then one of them
// late again.
func TestIdentifyCrowd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(1, nil)
		defer n.stop()
		var peers []*node
		for i := range 40 {
			p := w.node(i+2, nil)
			defer p.stop()
			peers = append(peers, p)
		}
		w.pass(time.Minute)
		for _, p := range peers {
			p.questions(t, time.Minute)
			if err := p.Host.Host.Connect(t.Context(), n.info()); err != nil {
				t.Fatal(err)
			}
		}
		until(t, 10*time.Second, "what all peers are", func() bool {
			for _, p := range peers {
				if !n.knows(p)() {
					return false
				}
			}
			return true
		})
		last := peers[0]
		w.pass(time.Minute)
		n.Network().ClosePeer(last.ID())
		until(t, 10*time.Second, "the connection to end", lost(last, n))
		n.Peerstore().RemovePeer(last.ID())
		asked := last.questions(t, time.Minute)
		if err := last.Host.Host.Connect(t.Context(), n.info()); err != nil {
			t.Fatal(err)
		}
		until(t, 10*time.Second, "what it is, once more", n.knows(last))
		if asked.Load() != 2 {
			t.Errorf("%d questions, want 2", asked.Load())
		}
		w.pass(time.Minute) // until the last one stops waiting
	})
}

// TestIdentifyNever connects with a peer that never says what it is: it is asked more and more
// rarely, and not when it has gone.
func TestIdentifyNever(t *testing.T) {
	for _, tt := range []struct {
		name        string
		answer      func(question int64, s network.Stream)
		least, most int64 // questions in an hour
	}{
		{"gives up", func(_ int64, s network.Stream) { _ = s.Reset() }, 60, 85},
		{"says nothing", func(question int64, s network.Stream) {
			if question > 1 { // the library takes nothing for an answer
				_ = s.Close()
			} else {
				_ = s.Reset()
			}
		}, 60, 85},
		{"does not know the question", nil, 2, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				peer, n := w.node(1, nil), w.node(2, nil)
				defer n.stop()
				w.pass(time.Minute)
				var asked atomic.Int64
				peer.RemoveStreamHandler(identify.ID)
				peer.SetStreamHandlerMatch("/test", func(p protocol.ID) bool {
					if p == identify.ID && tt.answer == nil {
						asked.Add(1)
					}
					return p == identify.ID && tt.answer != nil
				}, func(s network.Stream) { tt.answer(asked.Add(1), s) })
				if err := n.Connect(t.Context(), peer.info()); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Hour)
				before := asked.Load()
				if before < tt.least || before > tt.most {
					t.Errorf("%d questions in an hour, want %d to %d", before, tt.least, tt.most)
				}
				peer.stop()
				w.pass(time.Hour)
				if more := asked.Load() - before; more != 0 {
					t.Errorf("%d questions to one who has gone", more)
				}
			})
		})
	}
}
