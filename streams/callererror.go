package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// callerError turns what went wrong with a request into the [Error] that its caller gets.
func callerError(
	ctx context.Context, p peer.ID, f Family, cfg Config, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[answerError](err); ok {
		return e.err
	}
	if e, ok := errors.AsType[localError](err); ok {
		return e.err
	}
	if cause := ctx.Err(); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return wrap(CodeTimeout, cause, "no answer from %s in time", p)
		}
		return cause
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e // from Ready
	}
	if errors.Is(err, ErrBadReply) {
		return wrap(CodeInternal, err, "%s broke the protocol: %v", p, err)
	}
	meaning, reason := closeCode(err, cfg.Closed)
	if code := cmp.Or(resetCode(err), meaning); code != 0 {
		return wrap(code, err, "%s", resetWords(p, code))
	}
	if notSupported, ok := errors.AsType[msmux.ErrNotSupported[protocol.ID]](err); ok {
		return wrap(CodeUnsupported, err, "%s does not speak %s", p,
			strings.Join(protocol.ConvertToStrings(notSupported.Protos), " or "))
	}
	if errors.Is(err, network.ErrResourceLimitExceeded) {
		return wrap(CodeTooMany, err, "this node is at its own limit of streams or connections: %s", cfg.words(err))
	}
	return unreachable(p, f, cfg, reason, err)
}

// words are those of an error for a person.
func (c Config) words(err error) string {
	if c.Words == nil {
		return err.Error()
	}
	return c.Words(err)
}

// wrap makes an Error that keeps its cause.
func wrap(code Code, cause error, format string, args ...any) *Error {
	e := Errorf(code, format, args...)
	e.cause = cause
	return e
}

// unreachable says in one line that there is no way to the peer, or no more.
func unreachable(p peer.ID, f Family, cfg Config, reason string, err error) *Error {
	var words string
	switch {
	case reason != "":
		words = fmt.Sprintf("%s closed the connection: %s", p, reason)
	case errors.As(err, new(openError)):
		words = "offline or cut off: " + strings.Join(strings.Fields(cfg.words(err)), " ")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		words = fmt.Sprintf("%s closed the %s stream without an answer", p, f.Name)
	default:
		words = fmt.Sprintf("lost %s: %s", p, cfg.words(err))
	}
	return wrap(CodeUnavailable, fmt.Errorf("%w: %w", ErrUnreachable, err), "%s", words)
}

// resetCode returns the code for a stream or connection that the peer ended with one of libp2p's
// codes, 0 for any other error.
func resetCode(err error) Code {
	if e, ok := errors.AsType[*network.StreamError](err); ok && e.Remote {
		switch e.ErrorCode {
		case network.StreamResourceLimitExceeded, network.StreamRateLimited:
			return CodeTooMany
		case network.StreamGated:
			return CodeForbidden
		case network.StreamShutdown, network.StreamGarbageCollected:
			return CodeUnavailable
		case network.StreamProtocolNegotiationFailed:
			return CodeUnsupported
		}
	}
	if e, ok := errors.AsType[*network.ConnError](err); ok && e.Remote {
		switch e.ErrorCode {
		case network.ConnResourceLimitExceeded, network.ConnRateLimited:
			return CodeTooMany
		case network.ConnGated:
			return CodeForbidden
		}
	}
	return 0
}

// closeCode returns what a connection's end means that the peer closed with a code of the
// application's own; nothing for any other error.
func closeCode(err error, closed func(network.ConnErrorCode) (Code, string)) (Code, string) {
	if e, ok := errors.AsType[*network.ConnError](err); ok && e.Remote && closed != nil {
		return closed(e.ErrorCode)
	}
	return 0, ""
}

func resetWords(p peer.ID, c Code) string {
	switch c {
	case CodeTooMany:
		return fmt.Sprintf("%s refuses more streams or connections from this node: wait, then repeat", p)
	case CodeForbidden:
		return fmt.Sprintf("%s does not let this node in", p)
	case CodeUnsupported:
		return fmt.Sprintf("%s does not speak this protocol", p)
	}
	return fmt.Sprintf("%s is shutting down", p)
}
