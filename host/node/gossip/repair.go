package gossip

// Repair of go-libp2p-pubsub v0.17.0. It has one stream to each peer and hears one from it; when
// these end while the peer stays connected, as one of two connections to it does, a subscriber is
// lost until it connects again:
//
//   - It tries once to open the stream to a peer. NewStream here tries until the peer is gone.
//     Upstream: https://github.com/libp2p/go-libp2p-pubsub/issues/433
//   - After the fourth stream that ended within ten minutes it opens no other. afresh presents the
//     peer as a new one. Upstream: the same issue; the limit came with pull request 483 there.
//   - When the stream to a peer ends it forgets what the peer has subscribed to, and the peer,
//     whose own stream is fine, does not say it again. remind says ours again to a peer that opens
//     a stream. Upstream: docs/upstream.md, "pubsub".
//
// upstream_test.go fails for each fault that the library has mended: then its part here may go.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/trust"
)

const (
	patientFirst = time.Second      // between the first attempts to open a stream
	patientMost  = 30 * time.Second // between later ones
	patientGone  = time.Minute      // since when a peer is away, until its stream is given up

	remindTimeout = 30 * time.Second // for a peer to read what we subscribe to

	// afreshAfter is when a peer whose stream has ended is new to pubsub, if there is no other
	// stream by then. Pubsub waits 10 s at most before it opens one, and after the fourth within
	// ten minutes it opens none.
	afreshAfter = 30 * time.Second
)

// pubsubHost is the host that pubsub is given.
type pubsubHost struct {
	corehost.Host
	own   func(func(context.Context)) // runs a goroutine, whose context ends with the node
	fresh event.Emitter               // of peers that are new to pubsub
	rpcs  *limits.Rates               // of the RPCs that are looked at
	bytes *limits.Rates               // of it

	mu  sync.Mutex
	out map[peer.ID]*announcer
}

func newPubSubHost(h corehost.Host, own func(func(context.Context))) (*pubsubHost, error) {
	fresh, err := h.EventBus().Emitter(new(event.EvtPeerProtocolsUpdated))
	if err != nil {
		return nil, fmt.Errorf("tell pubsub of peers: %w", err)
	}
	return &pubsubHost{
		Host:  h,
		own:   own,
		fresh: fresh,
		rpcs:  limits.NewRates(rpcRate, rpcBurst),
		bytes: limits.NewRates(rpcBytes, rpcByteBurst),
		out:   make(map[peer.ID]*announcer),
	}, nil
}

// NewStream tries until it has a stream, the peer has been gone for a while or says that it speaks
// none of the protocols, or ctx ends.
func (h *pubsubHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	here, stranger := time.Now(), false
	for pause := patientFirst; ; pause = min(2*pause, patientMost) {
		s, err := h.Host.NewStream(network.WithNoDial(ctx, "pubsub"), p, ids...)
		if err == nil {
			return h.announce(ctx, p, s), nil
		}
		if none := (multistream.ErrNotSupported[protocol.ID]{}); errors.As(err, &none) {
			return nil, err
		}
		if !errors.Is(err, network.ErrNoConn) {
			stranger = errors.Is(err, trust.ErrStranger)
		}
		if h.Network().Connectedness(p) == network.Connected {
			here = time.Now()
		} else if stranger || time.Since(here) > patientGone {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// announce makes s the stream on which p hears what we subscribe to.
func (h *pubsubHost) announce(ctx context.Context, p peer.ID, s network.Stream) network.Stream {
	a := &announcer{Stream: s, said: make(map[string]*pb.RPC_SubOpts)}
	a.ended = sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.out[p] == a {
			delete(h.out, p)
			time.AfterFunc(afreshAfter, func() {
				if ctx.Err() == nil {
					h.afresh(p, s.Protocol())
				}
			})
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out[p] = a
	return a
}

// afresh makes p new to pubsub, if it is connected and has no stream: as one that has just begun to
// speak pubsub's protocol. Where it knows p all the same, it does nothing.
func (h *pubsubHost) afresh(p peer.ID, id protocol.ID) {
	h.mu.Lock()
	has := h.out[p] != nil
	h.mu.Unlock()
	if has || h.Network().Connectedness(p) != network.Connected {
		return
	}
	// Emit fails when the node is closed.
	_ = h.fresh.Emit(event.EvtPeerProtocolsUpdated{Peer: p, Added: []protocol.ID{id}})
}

func (h *pubsubHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.reminding(handle))
}

func (h *pubsubHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.reminding(handle))
}

func (h *pubsubHost) reminding(handle network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		h.mu.Lock()
		a := h.out[s.Conn().RemotePeer()]
		h.mu.Unlock()
		if a != nil && a.wanted.CompareAndSwap(false, true) { // else one reminder waits already
			h.own(a.remind)
		}
		p := s.Conn().RemotePeer()
		handle(&meteredStream{Stream: s, budget: h.rpcs.Of(p), bytes: h.bytes.Of(p)})
	}
}

// announcer is a stream to a peer that knows what was said on it about our subscriptions.
type announcer struct {
	network.Stream
	ended  func()
	wanted atomic.Bool // a reminder, and it has not begun

	mu   sync.Mutex // held while writing
	said map[string]*pb.RPC_SubOpts
}

// Write takes one RPC, as pubsub writes them.
func (a *announcer) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := a.Stream.Write(b)
	if err == nil {
		for _, s := range subscriptions(b) {
			if s.GetSubscribe() {
				a.said[s.GetTopicid()] = s
			} else {
				delete(a.said, s.GetTopicid())
			}
		}
	}
	return n, err
}

// remind says once more what we subscribe to. It may wait for a peer that reads slowly.
func (a *announcer) remind(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { a.Stream.Reset() })()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted.Store(false)
	if len(a.said) == 0 {
		return
	}
	err := a.SetWriteDeadline(time.Now().Add(remindTimeout))
	if err == nil {
		_, err = protodelim.MarshalTo(a.Stream, &pb.RPC{Subscriptions: slices.Collect(maps.Values(a.said))})
	}
	if err != nil {
		a.Stream.Reset() // half an RPC may be on it
	}
}

func (a *announcer) Close() error {
	a.ended()
	return a.Stream.Close()
}

func (a *announcer) Reset() error {
	a.ended()
	return a.Stream.Reset()
}

// subscriptions returns those in an RPC, which begins with its length. It looks at nothing else,
// because nearly all RPCs are messages.
func subscriptions(rpc []byte) (out []*pb.RPC_SubOpts) {
	_, n := protowire.ConsumeVarint(rpc)
	for n >= 0 && n < len(rpc) {
		rpc = rpc[n:]
		field, kind, tag := protowire.ConsumeTag(rpc)
		if tag < 0 {
			return out
		}
		rpc = rpc[tag:]
		if field == subscriptionsField && kind == protowire.BytesType {
			var s pb.RPC_SubOpts
			var b []byte
			if b, n = protowire.ConsumeBytes(rpc); n >= 0 && proto.Unmarshal(b, &s) == nil {
				out = append(out, &s)
			}
			continue
		}
		n = protowire.ConsumeFieldValue(field, kind, rpc)
	}
	return out
}

// subscriptionsField is the number of RPC.subscriptions in pubsub's rpc.proto.
const subscriptionsField = 1
