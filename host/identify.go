package host

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
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
		asked  = make(map[peer.ID]bool)
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
		if !asked[p] {
			asked[p] = true
			asking.Go(func() {
				h.keepAsking(ctx, p)
				mu.Lock()
				delete(asked, p)
				mu.Unlock()
			})
		}
		mu.Unlock()
	}
}

// keepAsking asks p until it answers or is gone.
func (h *Host) keepAsking(ctx context.Context, p peer.ID) {
	for pause := identifyFirst; wait(ctx, pause); pause = min(2*pause, identifyMost) {
		if h.Network().Connectedness(p) == network.NotConnected {
			return
		}
		if err := h.identify(ctx, p); err == nil {
			return
		} else {
			h.log.Debug("peer does not say what it is", "peer", p, "err", err)
		}
	}
}

// identify asks p what it is, and gives the answer to the library as one that p has pushed: the library takes news of a peer in no other way.
func (h *Host) identify(ctx context.Context, p peer.ID) error {
	ctx, cancel := context.WithTimeout(network.WithNoDial(network.WithAllowLimitedConn(ctx, "identify"), "identify"), identifyTimeout)
	defer cancel()
	s, err := h.NewStream(ctx, p, identify.ID)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	a := &asPushed{Stream: s, r: io.MultiReader(selecting(identify.IDPush), s)}
	if err := h.Mux().Handle(a); err != nil {
		s.Reset()
		return err
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
	r   io.Reader
	err error // why the handler gave it up
}

func (a *asPushed) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

// Write drops what the handler's side says to agree on the protocol.
func (a *asPushed) Write(b []byte) (int, error) { return len(b), nil }

// SetDeadline leaves the time to identify.
func (a *asPushed) SetDeadline(time.Time) error { return nil }

func (a *asPushed) Reset() error { return a.ResetWithError(0) }

func (a *asPushed) ResetWithError(code network.StreamErrorCode) error {
	if a.err == nil {
		a.err = fmt.Errorf("its answer was not taken: %w", network.ErrReset)
	}
	return a.Stream.ResetWithError(code)
}
