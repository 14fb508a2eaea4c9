package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
	"github.com/multiformats/go-varint"
)

const (
	identifyTimeout = 15 * time.Second // for one answer
	identifyFirst   = time.Second      // until a peer is asked again
	identifyMost    = time.Minute      // between later questions
)

// watchUnidentified subscribes to what identifyAgain acts on.
func (h *Host) watchUnidentified() (event.Subscription, error) {
	sub, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationFailed), eventbus.Name("swarm-identify"), eventbus.BufSize(eventQueue))
	if err != nil {
		return nil, fmt.Errorf("watch identification: %w", err)
	}
	return sub, nil
}

// identifyAgain asks peers once more what they are. The library does it once for a connection and gives the answer 5 s; that is
// too short where a thousand machines come back at once, or over a slow link, and for as long as the connection lives pubsub, the
// DHT and the search for relays pass over a peer that has not answered.
func (h *Host) identifyAgain(ctx context.Context, failed event.Subscription) {
	var (
		mu     sync.Mutex
		asked  = make(map[peer.ID]chan struct{}) // has a token when another connection with the peer gave no answer
		asking sync.WaitGroup
	)
	defer failed.Close()
	defer asking.Wait()
	for {
		var p peer.ID
		select {
		case <-ctx.Done():
			return
		case e := <-failed.Out():
			f, ok := e.(event.EvtPeerIdentificationFailed)
			if !ok {
				return
			}
			p = f.Peer
		}
		mu.Lock()
		if again := asked[p]; again != nil {
			select {
			case again <- struct{}{}:
			default:
			}
		} else {
			again = make(chan struct{}, 1)
			asked[p] = again
			asking.Go(func() {
				h.keepAsking(ctx, p, again)
				mu.Lock()
				delete(asked, p)
				mu.Unlock()
			})
		}
		mu.Unlock()
	}
}

// keepAsking asks p until it answers, is gone or says that it does not speak of itself; soon after a token in again, and more
// and more rarely otherwise.
func (h *Host) keepAsking(ctx context.Context, p peer.ID, again <-chan struct{}) {
	for pause := identifyFirst; ; pause = min(2*pause, identifyMost) {
		timer := time.NewTimer(pause - rand.N(pause/4)) // many may be late at the same time
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-again:
			timer.Stop()
			pause = identifyFirst
		case <-timer.C:
		}
		if h.Network().Connectedness(p) == network.NotConnected {
			return
		}
		err := h.identify(ctx, p)
		if none := (multistream.ErrNotSupported[protocol.ID]{}); err == nil || errors.As(err, &none) {
			return
		}
		h.log.Debug("peer does not say what it is", "peer", p, "err", err)
	}
}

// identify asks p what it is, and gives the answer to the library as one that p has pushed: in no other way does the library
// take news of a peer.
func (h *Host) identify(ctx context.Context, p peer.ID) error {
	ctx, cancel := context.WithTimeout(network.WithNoDial(network.WithAllowLimitedConn(ctx, "identify"), "identify"), identifyTimeout)
	defer cancel()
	s, err := h.NewStream(ctx, p, identify.ID)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	a := &asPushed{Stream: s, selected: selecting(identify.IDPush)}
	if err := h.Mux().Handle(a); err != nil {
		s.Reset()
		return err
	}
	if a.err == nil && !a.answered {
		return io.ErrUnexpectedEOF
	}
	return a.err
}

// selecting is what a peer sends first on a stream for p.
func selecting(p protocol.ID) io.Reader {
	var b strings.Builder
	for _, token := range []string{multistream.ProtocolID, string(p)} {
		b.Write(varint.ToUvarint(uint64(len(token)) + 1))
		b.WriteString(token + "\n")
	}
	return strings.NewReader(b.String())
}

// asPushed is a stream on which we have asked, for a handler that takes it for one that the peer has opened.
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

// Write drops what the handler's side says to agree on the protocol.
func (a *asPushed) Write(b []byte) (int, error) { return len(b), nil }

// Conn shows the limiter in front of the handler, which looks first, an address that has no limit. It lets ten pushes through from
// one network, and then one in five seconds, because a peer can send as many as it likes; here we have asked.
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
