// Package identify asks peers once more what they are, when they could not answer the library in
// time.
package identify

// A repair of github.com/libp2p/go-libp2p v0.51.0: identify asks a peer once for a connection, and
// gives it 5 s to answer (identify.DefaultTimeout). That is too short where a thousand machines
// come back at once, or over a slow link. Upstream:
// https://github.com/libp2p/go-libp2p/issues/2983. The package may go when
// TestLibraryIdentifiesOnce fails.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
	"github.com/multiformats/go-varint"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	answerTime = 15 * time.Second // for one answer
	firstPause = time.Second      // until a peer is asked again
	mostPause  = time.Minute      // between later questions
	eventQueue = 256
)

// Again asks peers again. For as long as a connection lives, pubsub, the DHT and the search for
// relays pass over a peer that has not answered.
type Again struct {
	host corehost.Host
	log  *slog.Logger

	mu     sync.Mutex
	asked  map[peer.ID]chan struct{} // has a token when another connection with the peer gave no answer
	asking sync.WaitGroup
}

// NewAgain returns an Again for the peers of h.
func NewAgain(h corehost.Host, log *slog.Logger) *Again {
	return &Again{host: h, log: log, asked: make(map[peer.ID]chan struct{})}
}

// Run asks each peer that has not answered the library, until ctx ends.
func (a *Again) Run(ctx context.Context) error {
	failed, err := a.host.EventBus().Subscribe(new(event.EvtPeerIdentificationFailed),
		eventbus.Name("swarm-identify"), eventbus.BufSize(eventQueue))
	if err != nil {
		return fmt.Errorf("watch identification: %w", err)
	}
	defer failed.Close()
	defer a.asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-failed.Out():
			f, ok := e.(event.EvtPeerIdentificationFailed)
			if !ok {
				return nil
			}
			a.start(ctx, f.Peer)
		}
	}
}

// start begins to ask p, or makes the goroutine that does so ask soon.
func (a *Again) start(ctx context.Context, p peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if soon := a.asked[p]; soon != nil {
		select {
		case soon <- struct{}{}:
		default:
		}
		return
	}
	soon := make(chan struct{}, 1)
	a.asked[p] = soon
	a.asking.Go(func() {
		a.keepAsking(ctx, p, soon)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.asked, p)
	})
}

// keepAsking asks p until it answers, is gone or does not speak the protocol; at once after a token
// in soon, and more and more rarely otherwise.
func (a *Again) keepAsking(ctx context.Context, p peer.ID, soon <-chan struct{}) {
	pauses := backoff.Backoff{First: firstPause, Most: mostPause, Jitter: 0.25} // many may be late at the same time
	for {
		timer := time.NewTimer(pauses.Next())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-soon:
			timer.Stop()
			pauses.Reset()
		case <-timer.C:
		}
		if a.host.Network().Connectedness(p) == network.NotConnected {
			return
		}
		err := a.ask(ctx, p)
		if _, none := errors.AsType[multistream.ErrNotSupported[protocol.ID]](err); err == nil || none {
			return
		}
		a.log.Debug("peer does not say what it is", "peer", p, "err", err)
	}
}

// ask asks p what it is, and gives the answer to the library as one that p has pushed: in no other
// way does the library take news of a peer.
func (a *Again) ask(ctx context.Context, p peer.ID) error {
	ctx = network.WithNoDial(network.WithAllowLimitedConn(ctx, "identify"), "identify")
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := a.host.NewStream(ctx, p, identify.ID)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	pushed := &asPushed{Stream: s, selected: selecting(identify.IDPush)}
	if err := a.host.Mux().Handle(pushed); err != nil {
		s.Reset()
		return err
	}
	if pushed.err == nil && !pushed.answered {
		return io.ErrUnexpectedEOF
	}
	return pushed.err
}

// selecting returns what a peer sends first on a stream for p.
func selecting(p protocol.ID) io.Reader {
	var b strings.Builder
	for _, token := range []string{multistream.ProtocolID, string(p)} {
		b.Write(varint.ToUvarint(uint64(len(token)) + 1))
		b.WriteString(token + "\n")
	}
	return strings.NewReader(b.String())
}

// asPushed is a stream on which this node has asked, made to look to a handler like one that the peer
// has opened.
type asPushed struct {
	network.Stream
	selected io.Reader // what such a peer says first
	answered bool
	limited  bool
	err      error // why the handler gave it up
}

func (a *asPushed) Read(b []byte) (int, error) {
	if n, _ := a.selected.Read(b); n > 0 {
		return n, nil
	}
	n, err := a.Stream.Read(b)
	a.answered = a.answered || n > 0
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// Write drops what the handler sends to agree on the protocol.
func (a *asPushed) Write(b []byte) (int, error) { return len(b), nil }

// Conn shows the limiter in front of the handler, which looks first, an address that has no limit. It
// lets ten pushes through from one network, and then one in five seconds, because a peer can send as
// many as it likes; here this node has asked.
func (a *asPushed) Conn() network.Conn {
	if !a.limited {
		a.limited = true
		return unlimited{a.Stream.Conn()}
	}
	return a.Stream.Conn()
}

type unlimited struct{ network.Conn }

func (unlimited) RemoteMultiaddr() multiaddr.Multiaddr { return manet.IP4Loopback }

// SetDeadline leaves the time to identify.
func (a *asPushed) SetDeadline(time.Time) error { return nil }

func (a *asPushed) Reset() error { return a.ResetWithError(0) }

func (a *asPushed) ResetWithError(code network.StreamErrorCode) error {
	if a.err == nil {
		a.err = fmt.Errorf("its answer was not taken: %w", &network.StreamError{ErrorCode: code})
	}
	return a.Stream.ResetWithError(code)
}
