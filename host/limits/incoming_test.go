package limits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multistream"
)

// proposing is a stream on which a peer proposes protocols.
type proposing struct {
	network.Stream
	in       *bytes.Reader
	answered int
}

func (p *proposing) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *proposing) Write(b []byte) (int, error) { p.answered++; return len(b), nil }
func (p *proposing) Close() error                { return nil }

func negotiate(t *testing.T, lines ...string) (protocol.ID, int, error) {
	t.Helper()
	var in bytes.Buffer
	for _, l := range append([]string{multistream.ProtocolID}, lines...) {
		fmt.Fprintf(&in, "%c%s\n", len(l)+1, l)
	}
	mux := multistream.NewMultistreamMuxer[protocol.ID]()
	mux.AddHandler("/known", nil)
	s := &proposing{in: bytes.NewReader(in.Bytes())}
	id, _, err := mux.Negotiate(&choosing{Stream: s, bytes: proposalBytes, times: proposals})
	return id, s.answered, err
}

// A peer chooses a protocol with a few proposals, and not with more.
func TestProposalsAreBounded(t *testing.T) {
	some := make([]string, proposals-1)
	for i := range some {
		some[i] = fmt.Sprint("/unknown/", i)
	}
	if id, _, err := negotiate(t, append(some, "/known")...); id != "/known" || err != nil {
		t.Errorf("after %d proposals: %q, %v", len(some), id, err)
	}
	if _, n, err := negotiate(t, append(some, "/x", "/x", "/x", "/known")...); err == nil || n > proposals+1 {
		t.Errorf("after %d proposals: %v, %d answers", len(some)+3, err, n)
	}
	c := &choosing{Stream: &proposing{in: bytes.NewReader(make([]byte, 2*proposalBytes))}, bytes: proposalBytes, times: proposals}
	if got, err := io.ReadAll(c); len(got) != proposalBytes || !errors.Is(err, errChoice) {
		t.Errorf("%d bytes are read, then %v", len(got), err)
	}
}

// Streams of the library's protocols come at a peer's rate; what is over it waits, and what would
// wait for long does not begin.
func TestLibraryStreamsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var member atomic.Bool
		i := newIncoming(t.Context(), nil, func(peer.ID) bool { return member.Load() })
		takes := func(n int) time.Duration {
			began := time.Now()
			for range n {
				if err := i.turn("peer"); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(began).Round(time.Millisecond)
		}
		if took := takes(strangerStreamBurst); took != 0 {
			t.Errorf("a stranger's burst took %v", took)
		}
		if took := takes(strangerStreamRate); took != time.Second {
			t.Errorf("%d more took %v", strangerStreamRate, took)
		}
		member.Store(true)
		if took := takes(libraryStreamBurst); took != 0 {
			t.Errorf("a member's burst took %v", took)
		}
		if took := takes(libraryStreams); took != time.Second {
			t.Errorf("%d more took %v", libraryStreams, took)
		}
		i.peers.Of("peer").streams.ReserveN(time.Now(), libraryStreamBurst)
		for range 4 {
			i.peers.Of("peer").streams.ReserveN(time.Now(), libraryStreamBurst)
		}
		began := time.Now()
		if err := i.turn("peer"); !errors.Is(err, errChoice) || time.Since(began) != libraryTurn {
			t.Errorf("one far over the rate: %v after %v", err, time.Since(began))
		}
	})
}

// What a peer says over the library's protocols is read at its rate, whether in large or in small
// pieces.
func TestLibraryStreamsAreMetered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{32, libraryRead, 8 * libraryRead} {
			near, far := net.Pipe()
			go func() {
				for {
					if _, err := far.Write(make([]byte, size)); err != nil {
						return
					}
				}
			}()
			i := newIncoming(t.Context(), nil, nil)
			s := &libraryStream{Stream: pipeStream{from: near}, life: t.Context(), budget: i.peers.Of("peer").bytes}
			reads := 2 * (libraryByteBurst + libraryBytes) / max(size, libraryRead)
			began := time.Now()
			for range reads {
				if _, err := io.ReadFull(s, make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			want := time.Duration(2*(libraryByteBurst+libraryBytes)-libraryByteBurst) * time.Second / libraryBytes
			if took := time.Since(began).Round(time.Millisecond); took != want {
				t.Errorf("%d reads of %d bytes took %v, want %v", reads, size, took, want)
			}
			far.Close()
		}
	})
}

// pipeStream is a stream that can be read.
type pipeStream struct {
	network.Stream
	from net.Conn
}

func (p pipeStream) Read(b []byte) (int, error) { return p.from.Read(b) }

func TestLibraryBudgetsAreBounded(t *testing.T) {
	i := newIncoming(context.Background(), nil, nil)
	for p := range libraryBudgets + 1 {
		i.peers.Of(peer.ID(fmt.Sprint(p)))
	}
	if got := i.peers.peers.Len(); got != libraryBudgets {
		t.Errorf("%d peers are kept, want %d", got, libraryBudgets)
	}
}

func TestLibraryProtocols(t *testing.T) {
	for id, want := range map[protocol.ID]bool{
		identify.ID: true, identify.IDPush: true, ping.ID: true, "/swarm/abc/kad/1.0.0": true, "/meshsub/1.2.0": true,
		"/floodsub/1.0.0": true, "/swarm/lifecycle/1.0.0": false, "/libp2p/circuit/relay/0.2.0/stop": false, "": false,
	} {
		if got := isLibrary(id); got != want {
			t.Errorf("%q: %v, want %v", id, got, want)
		}
	}
}
