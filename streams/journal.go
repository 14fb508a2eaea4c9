package streams

import (
	"crypto/sha256"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Journal keeps over restarts what came of requests with an effect. Its methods are called
// concurrently, each request by one goroutine at a time.
type Journal interface {
	// Begin records that a request is about to have its effect. When it returns nil, nil, that is on
	// the disk. A request that was recorded before is not recorded again: past says what came of
	// it. On an error the request fails, and has no effect; its peer is told the error's words.
	Begin(e Effect) (past *Past, err error)
	// End records what came of a request that Begin has recorded.
	End(e Effect, p Past)
}

// Effect names a request with an effect.
type Effect struct {
	Peer peer.ID // who asks
	ID   uuid.UUID
	Hash [sha256.Size]byte // of the request's type and payload
	Sent time.Time         // by the clock of this machine, as far as it knows the peer's
}

// Past is what came of a request.
type Past struct {
	Hash  [sha256.Size]byte
	Ended bool // false: the program ended before the request, and nobody knows what came of it
	// NoEffect says that the request was refused before it changed anything: it may be repeated.
	NoEffect bool
	Payload  jsontext.Value // of the answer; empty with Err or Short
	Err      *Error
	Short    bool // the answer was too long to be kept
}

// result is what one is told who repeats the request.
func (p *Past) result() (jsontext.Value, *Error) {
	switch {
	case !p.Ended:
		return nil, lateError("it was restarted meanwhile, or its record is damaged, so that it does not know whether this was done")
	case p.Err != nil:
		e := *p.Err
		e.effect = true
		return nil, &e
	case p.Short:
		return nil, lateError("this was done, and the answer was too long to be kept")
	}
	return p.Payload, nil
}

// lateError tells one who repeats a request why there is no answer.
func lateError(why string) *Error {
	e := Errorf(CodeConflict, "%s: look how it stands there before you ask for it again", why)
	e.effect = true
	return e
}
