package streams

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// admit takes a request that was read through the guard, up to and including the sender's rights.
// The payload follows in the handler of the type.
func (x *exchange) admit() error {
	if err := x.envelope(); err != nil {
		return err
	}
	if err := x.fresh(); err != nil {
		return err
	}
	entry, err := x.mux.lookup(x.family, x.msg.Type)
	if err != nil {
		return x.rated(err)
	}
	x.entry = entry
	x.spent = entry.Shape == ShapeUpload // its raw bytes follow, read or not
	if x.peer.Member && !x.mux.rates.allowMember(x.peer.ID, entry.Spec) {
		x.pause()
		return errRate
	}
	if !x.peer.Member && !x.mux.rates.allow(x.peer.ID) {
		return errRate
	}
	return x.permitted()
}

// pause holds back the refusal of a member's request without effect, so that a peer that asks
// without end waits and cannot keep this node busy writing refusals.
func (x *exchange) pause() {
	if x.entry.Verb.HasEffect() {
		return
	}
	timer := time.NewTimer(x.mux.cfg.Limits.RefusePause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ss.ctx.Done():
	case <-x.mux.feeds.Done():
	}
}

// errRate gets its time when it is sent.
var errRate = &Error{Code: CodeTooMany, Message: "too many requests: wait a second, then repeat with the same ID"}

// envelope decodes the frame and checks that its sender is the connection's peer.
func (x *exchange) envelope() error {
	if err := decodeEnvelope(x.in, &x.msg, x.ss.sender, maxDepth); err != nil {
		return x.rated(err)
	}
	if x.msg.Sender != x.peer.ID {
		return x.rated(
			Errorf(CodeUnauthenticated, "sender %s is not the peer of this connection, %s", x.msg.Sender, x.peer.ID))
	}
	return nil
}

// rated returns err, the answer to a request that goes no further, and counts the request. A
// stranger over its rate with requests of this kind is cut off. Where it may have been an upload,
// raw bytes follow: the stream is spent.
func (x *exchange) rated(err error) error {
	x.spent = x.mux.takesUploads(x.family)
	if x.peer.Member || x.mux.rates.allow(x.peer.ID) {
		return err
	}
	x.ResetWithError(network.StreamRateLimited)
	x.spent = true
	return errRate
}

// fresh checks the timestamp against the sender's clock, whose offset the handshake of this
// connection measured. The handshake itself has no measure yet.
func (x *exchange) fresh() error {
	now := time.Now()
	if x.msg.Type == x.family.Greeting {
		x.ss.offset.Store(int64(x.msg.Timestamp.Sub(now)))
	}
	offset := time.Duration(x.ss.offset.Load())
	x.peer.ClockOffset = offset
	if off := x.msg.Timestamp.Sub(now) - offset; off.Abs() > maxClockSkew {
		return x.rated(skewError(x.msg.Timestamp, off, offset))
	}
	return nil
}

// skewError says in words how far a timestamp is off.
func skewError(t time.Time, off, offset time.Duration) *Error {
	side := "ahead of"
	if off < 0 {
		side = "behind"
	}
	clock := "this node's clock"
	if offset.Abs() > time.Second {
		clock = "your clock as it was in this connection's handshake"
	}
	return Errorf(CodeInvalid, "timestamp %s is %v %s %s, more than %v: set the clock, or shake hands again",
		t.Format(time.RFC3339), off.Abs().Round(time.Second), side, clock, maxClockSkew)
}

// permitted asks for the sender's right to the type's verb.
func (x *exchange) permitted() error {
	if x.entry.Verb == VerbPublic {
		return nil
	}
	err := x.mux.cfg.Authorize(x.ss.ctx, x.peer, x.entry.Verb)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	x.mux.cfg.Logger.Warn("rights could not be judged", keyPeer, x.peer.ID, keyType, x.msg.Type, keyErr, err)
	return Errorf(CodeForbidden, "not permitted: the right to %s could not be judged", x.entry.Verb)
}
