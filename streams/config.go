package streams

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Host is the part of a libp2p host that this package needs.
type Host interface {
	ID() peer.ID
	Network() network.Network
	NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error)
	SetStreamHandlerMatch(protocol.ID, func(protocol.ID) bool, network.StreamHandler)
	RemoveStreamHandler(protocol.ID)
}

var _ Host = host.Host(nil)

// Config is shared by a [Mux] and a [Client]. The zero value denies every verb but [VerbPublic], is
// silent and has the default limits.
type Config struct {
	// Logger receives what the operator should know; nil is silent.
	Logger *slog.Logger
	// Authorize decides whether p may do v here: nil for yes, an [Error] with the reason for no;
	// any other error counts as no and is only logged. A nil Authorize denies. It is called for
	// each request, and every 10 s while a feed runs, concurrently.
	Authorize func(ctx context.Context, p Peer, v Verb) error
	// Member reports whether p belongs to this node's circle, so that the limits for members apply
	// to it. Nil: everyone is a stranger.
	Member func(p peer.ID) bool
	// Observe is called with the outcome of each exchange, concurrently, after it ended; it must
	// not block. Nil is allowed.
	Observe func(Outcome)
	// Permit is asked by the client about a request that is not public: before a stream is opened
	// for it, and again, with leaving, when it is about to leave on a connection that is Ready. An
	// error keeps it here. It must return quickly. Nil permits.
	Permit func(p peer.ID, leaving bool) error
	// Ready is called by the client before its first request on a connection and must return
	// quickly when the connection is known already. It is where a node waits for its handshake.
	// Streams made by DoOn skip it.
	Ready func(ctx context.Context, c network.Conn) error
	// Late is called when a request over a connection has had no answer for 200 ms, and again from time
	// to time until it has: the connection may be dead. It must not block. A connection that the
	// application closes then is replaced, and the request repeated over it. Nil does nothing.
	Late func(c network.Conn)
	// Line returns what is known of the line to the next machine of a connection: by how much what waits
	// in queues adds to a round trip, and how many packets were sent again since the connection was
	// made. It tells a long transfer loss from queues. Nil knows nothing.
	Line func(c network.Conn) (queued time.Duration, resent uint64, known bool)
	// Closed returns what it means when a peer closes the connection with a code of the
	// application's own: the code for the requests that fail, 0 if the peer is just unreachable,
	// and the reason in words, empty for a code that is none of its own. Nil knows none.
	Closed func(network.ConnErrorCode) (Code, string)
	// Words puts an error of a library in words that a person may read; nil takes its text.
	Words func(error) string
	// Audit, if set, is called before each request that is not public has its effect: once for a
	// request, however often it is repeated. On an error the request fails, and has no effect. The
	// function that it returns, if any, is called with the error that the request ended with.
	Audit func(context.Context, Audited) (done func(error), err error)
	// Journal keeps over restarts of a mux what came of requests with an effect; nil: in memory only,
	// so that one that is repeated after a restart has its effect again.
	Journal Journal
	// Limits bound what a peer may use; zero fields have defaults.
	Limits Limits

	members bool // Member was given
}

// Audited is a request that is about to be handled.
type Audited struct {
	Peer   Peer
	Family string
	Type   Type
	Verb   Verb
	ID     uuid.UUID
	// Summary says what is asked, in words without secrets; empty for a payload that has no
	// Summary() string method.
	Summary func() string
}

// Limits are the bounds of the guard that may be chosen. A zero field means its default.
type Limits struct {
	// FirstByte is how long a new stream may stay silent; 10 s.
	FirstByte time.Duration
	// Header is how long the rest of a frame may take from its first byte; 5 s.
	Header time.Duration
	// Stall is how long a write to, or a raw byte from, the peer may take; 30 s.
	Stall time.Duration
	// Drain is how long Serve waits for running handlers when it stops; 5 s.
	Drain time.Duration
	// Stranger bounds a stranger's requests; 5 a second, 20 at once. A large frame counts once more
	// for each 64 KiB.
	Stranger Rate
	// Effect bounds a member's requests that have an effect; 50 a second, 500 at once.
	Effect Rate
	// Public bounds a member's requests of types that are open to everyone, outside families that
	// greet; 20 a second, 100 at once.
	Public Rate
	// Read bounds a member's requests that have no effect, and, apart from them, those of families
	// that greet; 200 a second, 400 at once.
	Read Rate
	// RefusePause is how long a member waits for the refusal of a request over one of its rates
	// other than Effect, so that refusing it again and again costs this node little; 1 s.
	RefusePause time.Duration
}

// Rate is how many requests a peer may make, each second on average and at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// MaxFrame is the largest envelope on the wire, in bytes after the length prefix.
const MaxFrame = 1 << 20

// The bounds that are the same for all nodes. docs/protocol.md has them in section 7.
const (
	maxDepth         = 32               // of nested JSON, the envelope included
	maxStrangerFrame = 64 << 10         // the largest envelope of a stranger, in bytes
	maxClockSkew     = 10 * time.Minute // of a timestamp from the sender's clock
	keptIdle         = 5 * time.Minute  // for which a kept stream may stay silent between requests
	// strangersMemory is what the envelopes over 16 KiB of all strangers together may take while
	// they are read and answered, in bytes.
	strangersMemory = 16 << 20
	// smallFrame is the largest frame that needs no part of it: a greeting with its grant fits. However
	// many strangers hold that memory, one that has something to show is heard.
	smallFrame      = 16 << 10
	strangerStreams = 4   // that a stranger may have open
	memberStreams   = 128 // that a member may have open in a family
	clientCalls     = 64  // that a client has under way to one peer in one family; further ones wait
)

func (l Limits) withDefaults() Limits {
	l.FirstByte = cmp.Or(l.FirstByte, 10*time.Second)
	l.Header = cmp.Or(l.Header, 5*time.Second)
	l.Stall = cmp.Or(l.Stall, 30*time.Second)
	l.Drain = cmp.Or(l.Drain, 5*time.Second)
	l.Stranger = cmp.Or(l.Stranger, Rate{5, 20})
	l.Effect = cmp.Or(l.Effect, Rate{50, 500})
	l.Public = cmp.Or(l.Public, Rate{20, 100})
	l.Read = cmp.Or(l.Read, Rate{200, 400})
	l.RefusePause = cmp.Or(l.RefusePause, time.Second)
	return l
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Authorize == nil {
		c.Authorize = func(context.Context, Peer, Verb) error {
			return Errorf(CodeForbidden, "this node accepts no commands")
		}
	}
	c.Limits = c.Limits.withDefaults()
	c.members = c.Member != nil
	if !c.members {
		c.Member = func(peer.ID) bool { return false }
	}
	if c.Observe == nil {
		c.Observe = func(Outcome) {}
	}
	if c.Late == nil {
		c.Late = func(network.Conn) {}
	}
	if c.Line == nil {
		c.Line = func(network.Conn) (time.Duration, uint64, bool) { return 0, 0, false }
	}
	if c.Ready == nil {
		c.Ready = func(context.Context, network.Conn) error { return nil }
	}
	return c
}

// Outcome is what came of one exchange with a peer.
type Outcome struct {
	Peer    peer.ID
	Family  string
	Type    Type // the request's; empty when it could not be read
	Inbound bool // the peer asked us
	// Err is nil for success. For an inbound exchange it is the error that the peer was told, for
	// an outbound one the error that the caller got.
	Err      error
	Duration time.Duration // from the request to the last reply
}

// Log keys.
const (
	keyPeer  = "peer"
	keyType  = "type"
	keyTrace = "trace"
	keyErr   = "err"
)
