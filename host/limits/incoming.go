package limits

// A repair of github.com/libp2p/go-libp2p v0.51.0: a peer may propose any number of protocols on a
// stream, and open streams of identify, ping and the DHT at any rate. Upstream:
// https://github.com/libp2p/go-libp2p/issues/759. The part of proposals may go when
// TestLibraryTakesAnyNumberOfProposals fails, the rest when streams can be limited by rate.

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// How others choose the protocol of a stream. An honest choice takes two messages of some 50 bytes;
// pubsub has five names.
const (
	proposalBytes   = 1 << 10
	proposals       = 8                // of protocols that this node does not speak
	proposalTime    = 10 * time.Second // of a member
	strangerChoices = 3 * time.Second  // of a stranger
)

// What a peer may ask of the library's own protocols, which have no limits of rate: identify, ping,
// the DHT, pubsub. Streams and bytes over these wait for their turn, so that an honest burst is
// late and not lost.
const (
	libraryStreams      = 20 // a second, of a member
	libraryStreamBurst  = 60
	strangerStreamRate  = 2 // a second, of a stranger
	strangerStreamBurst = 8
	strangerWaits       = 1                // streams of a stranger that wait for their turn
	libraryTurn         = 10 * time.Second // for which a stream waits at most; then it is reset
	libraryBytes        = 64 << 10         // a second
	libraryByteBurst    = 512 << 10
	// libraryRead is how many bytes each read counts for at least: it wakes the program, whatever
	// it holds.
	libraryRead    = 4 << 10
	libraryBudgets = 2048 // peers; the one not heard of for the longest time goes first
	pubsubPrefix   = "/meshsub/"
	floodsubPrefix = "/floodsub/"
	kademlia       = "/kad/"
	unknown        = protocol.ID("") // of a stream whose protocol is not chosen
)

var errChoice = errors.New("no protocol was chosen with a few short proposals")

// incoming handles all streams that others open, instead of the library's handler, which lets them
// propose protocols and start streams without a limit.
type incoming struct {
	host   corehost.Host
	member func(peer.ID) bool // nil where all are alike
	life   context.Context    // ends with the node
	peers  *Budgets[*libraryBudget]
}

// libraryBudget is what one peer has left. It outlives streams and connections.
type libraryBudget struct {
	streams, strange, bytes *rate.Limiter
	waiting                 atomic.Int32 // streams of a stranger that wait for their turn
}

func newIncoming(life context.Context, h corehost.Host, member func(peer.ID) bool) *incoming {
	return &incoming{host: h, member: member, life: life, peers: NewBudgets(libraryBudgets, newLibraryBudget)}
}

func newLibraryBudget() *libraryBudget {
	return &libraryBudget{
		streams: rate.NewLimiter(libraryStreams, libraryStreamBurst),
		strange: rate.NewLimiter(strangerStreamRate, strangerStreamBurst),
		bytes:   rate.NewLimiter(libraryBytes, libraryByteBurst),
	}
}

// handle serves one stream, in a goroutine that the library owns.
func (i *incoming) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	within := proposalTime
	if i.stranger(p) {
		within = strangerChoices
	}
	id, serve, err := i.choose(s, within)
	if isLibrary(id) || err != nil {
		if late := i.turn(p); err == nil {
			err = late
		}
	}
	if err != nil {
		s.ResetWithError(network.StreamProtocolNegotiationFailed)
		return
	}
	if err := s.SetProtocol(id); err != nil {
		s.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	s = noteUse(s)
	if isLibrary(id) && !isPubSub(id) { // what pubsub reads is metered by RPC, where it is used
		s = &libraryStream{Stream: s, life: i.life, budget: i.peers.Of(p).bytes}
	}
	_ = serve(id, s)
}

func (i *incoming) stranger(p peer.ID) bool { return i.member != nil && !i.member(p) }

// choose lets the peer choose a protocol.
func (i *incoming) choose(s network.Stream, within time.Duration) (protocol.ID, protocol.HandlerFunc, error) {
	if err := s.SetDeadline(time.Now().Add(within)); err != nil {
		return unknown, nil, err
	}
	id, serve, err := i.host.Mux().Negotiate(&choosing{Stream: s, bytes: proposalBytes, times: proposals})
	if err != nil {
		return unknown, nil, err
	}
	return id, serve, s.SetDeadline(time.Time{})
}

// turn waits until the peer may have one more stream of the library's. Of a stranger one stream
// waits at a time: it has few, and needs the others for what it has to say to this node.
func (i *incoming) turn(p peer.ID) error {
	b := i.peers.Of(p)
	streams := b.streams
	if i.stranger(p) {
		if streams = b.strange; b.waiting.Add(1) > strangerWaits {
			b.waiting.Add(-1)
			return errChoice
		}
		defer b.waiting.Add(-1)
	}
	r := streams.Reserve()
	wait := r.Delay()
	if wait > libraryTurn {
		r.Cancel()
		backoff.Wait(i.life, libraryTurn)
		return errChoice
	}
	if !backoff.Wait(i.life, wait) {
		return i.life.Err()
	}
	return nil
}

// isLibrary reports whether a protocol is one of the library's that works for any message of a
// peer. Relays and hole punching are not among them: a relay has as many streams as it has peers.
func isLibrary(id protocol.ID) bool {
	switch id {
	case identify.ID, identify.IDPush, ping.ID, autonatv2.DialProtocol, autonatv2.DialBackProtocol:
		return true
	}
	return isPubSub(id) || strings.Contains(string(id), kademlia)
}

func isPubSub(id protocol.ID) bool {
	return strings.HasPrefix(string(id), pubsubPrefix) || strings.HasPrefix(string(id), floodsubPrefix)
}

// choosing is a stream while its protocol is being chosen: few bytes, and few refusals, are all
// that there is.
type choosing struct {
	network.Stream
	bytes, times int
}

func (c *choosing) Read(b []byte) (int, error) {
	if c.bytes <= 0 {
		return 0, errChoice
	}
	n, err := c.Stream.Read(b[:min(len(b), c.bytes)])
	c.bytes -= n
	return n, err
}

// Write takes this node's greeting, and then one answer to each proposal.
func (c *choosing) Write(b []byte) (int, error) {
	if c.times < 0 {
		return 0, errChoice
	}
	c.times--
	return c.Stream.Write(b)
}

// libraryStream is a stream of the library's that is read no faster than the peer's budget lets it.
type libraryStream struct {
	network.Stream
	life   context.Context
	budget *rate.Limiter
}

func (s *libraryStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b[:min(len(b), libraryByteBurst)])
	if n == 0 {
		return n, err
	}
	if !backoff.Wait(s.life, s.budget.ReserveN(time.Now(), max(n, libraryRead)).Delay()) {
		return 0, s.life.Err()
	}
	return n, err
}

var _ io.ReadWriteCloser = (*choosing)(nil)
