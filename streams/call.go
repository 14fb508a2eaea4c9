package streams

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Call is a message type with one reply for each request. Its value is shared by both sides, and
// safe for concurrent use.
//
// A payload with a Validate() error method is validated before the handler sees it, and before the
// caller sees the reply.
type Call[Req, Res any] struct {
	Family         Family
	Request, Reply Type
	Verb           Verb
}

// Spec returns the declaration without its payload types.
func (c Call[Req, Res]) Spec() Spec { return Spec{c.Family, ShapeCall, c.Request, c.Reply, c.Verb} }

// Do sends req to p and returns the reply. An error is an [Error]: the peer's, or one made here
// with [CodeTimeout], [CodeTooMany], [CodeUnsupported] or [CodeUnavailable]; see [ErrUnreachable].
// The end of ctx resets the stream.
func (c Call[Req, Res]) Do(ctx context.Context, cl *Client, p peer.ID, req Req) (Res, error) {
	var res Res
	err := cl.call(ctx, p, c.Spec(), req, &res)
	return res, err
}

// DoOn is Do over a new stream on this very connection, which is closed afterwards. It is for what
// concerns a connection, such as its handshake, and also returns when the exchange happened by both
// clocks.
func (c Call[Req, Res]) DoOn(ctx context.Context, cl *Client, conn network.Conn, req Req) (Res, Timing, error) {
	var res Res
	timing, err := cl.callOn(ctx, conn, c.Spec(), req, &res)
	return res, timing, err
}

// Patiently repeats ask while the peer answers it with [CodeTooMany], until ctx ends: a caller with
// much to ask or to hand over does so at the pace that the peer takes.
func Patiently(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !errors.Is(err, ErrTooMany) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// Timing is when an exchange happened.
type Timing struct {
	Sent, Received time.Time // by our clock
	Answered       time.Time // by the peer's clock, from its reply
}

// RTT is the round trip, with the time that the peer took.
func (t Timing) RTT() time.Duration { return t.Received.Sub(t.Sent) }

// ClockOffset is how far the peer's clock is ahead of ours, as if it had answered in the middle of
// the round trip.
func (t Timing) ClockOffset() time.Duration { return t.Answered.Sub(t.Sent.Add(t.RTT() / 2)) }

// Handle registers fn as the handler of this type. It runs concurrently with itself. Its context
// ends with the connection, or for a verb with an effect only when the mux stops.
func (c Call[Req, Res]) Handle(m *Mux, fn func(ctx context.Context, p Peer, req Req) (Res, error)) error {
	return m.register(c.Spec(), func(ctx context.Context, x *exchange) error {
		req, err := payloadOf[Req](x)
		if err != nil {
			return err
		}
		return x.once(ctx, req, func() (any, error) { return fn(ctx, x.peer, req) })
	})
}
