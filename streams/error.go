package streams

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Code says what kind of error an [Error] is. The numbers are on the wire.
type Code int

// The codes, and what the caller can do about each.
const (
	CodeInvalid         Code = 400 // the request is wrong: do not repeat it
	CodeUnauthenticated Code = 401 // the sender is not who it says, or presents nothing
	CodeForbidden       Code = 403 // the sender may not do this here
	CodeNotFound        Code = 404 // what the request names does not exist
	CodeTimeout         Code = 408 // not finished in time: may be repeated with the same ID
	CodeConflict        Code = 409 // does not fit the present state
	CodeTooLarge        Code = 413 // over a size limit
	CodeRefused         Code = 422 // the machine's owner does not allow it, whoever asks
	CodeTooMany         Code = 429 // over a rate or a count: wait, then repeat
	CodeInternal        Code = 500 // a fault of the peer: see the trace ID in its log
	CodeUnsupported     Code = 501 // the peer does not know this type or family
	CodeUnavailable     Code = 503 // the peer is away, starting or stopping: repeat later
)

// Sentinels for errors.Is, which compares codes only.
var (
	ErrInvalid         = &Error{Code: CodeInvalid}
	ErrUnauthenticated = &Error{Code: CodeUnauthenticated}
	ErrForbidden       = &Error{Code: CodeForbidden}
	ErrNotFound        = &Error{Code: CodeNotFound}
	ErrTimeout         = &Error{Code: CodeTimeout}
	ErrConflict        = &Error{Code: CodeConflict}
	ErrTooLarge        = &Error{Code: CodeTooLarge}
	ErrRefused         = &Error{Code: CodeRefused}
	ErrTooMany         = &Error{Code: CodeTooMany}
	ErrInternal        = &Error{Code: CodeInternal}
	ErrUnsupported     = &Error{Code: CodeUnsupported}
	ErrUnavailable     = &Error{Code: CodeUnavailable}
)

// ErrUnreachable is in the chain of an error that says that no connection to the peer could be
// made, or that it was lost before the answer: it is offline, or the way to it is cut. Repeat
// later.
var ErrUnreachable = errors.New("peer unreachable")

// Error is an error that travels. Its message is safe to show to the peer.
//
// Handlers return one (see [Errorf]) for a fault of the caller. Any other error a handler returns
// stays on its machine: the log gets the whole of it, the peer gets "internal error" and the trace
// ID that finds that log line.
type Error struct {
	Code    Code           `json:"code"`
	Message string         `json:"message"`
	Details jsontext.Value `json:"details,omitzero"`
	// Trace finds the peer's log line about this error; empty when there is none.
	Trace string `json:"trace,omitzero"`
	// Timestamp is when the error was made, in Unix milliseconds.
	Timestamp int64 `json:"timestamp"`

	cause  error // what happened on this side; never sent
	effect bool  // the request may have had an effect, whatever the code says
}

// Errorf returns an [Error] with the code and the formatted words. An operand of %w is kept for
// errors.Is and errors.As on this side.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Timestamp: time.Now().UnixMilli(), cause: errors.Unwrap(err)}
}

// Error returns the message, with the trace ID when there is one.
func (e *Error) Error() string {
	if e.Trace != "" {
		return fmt.Sprintf("%d: %s (trace %s)", e.Code, e.Message, e.Trace)
	}
	return fmt.Sprintf("%d: %s", e.Code, e.Message)
}

// Is reports whether target is an [Error] with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Words returns the message alone, which a person may read.
func (e *Error) Words() string { return e.Message }

// Unwrap returns what caused the error on this side, if known.
func (e *Error) Unwrap() error { return e.cause }

// typeError is the type of an answer that is an error.
const typeError Type = "error"

// ErrorNotice reports an error to a peer that answers none of its requests.
var ErrorNotice = Notice[*Error]{Family{Name: "error", Versions: []string{"1.0.0"}}, typeError, VerbPublic}

// maxTrace is the longest trace ID, in bytes.
const maxTrace = 64

// MaxErrorMessage is how many bytes the message, or the details, of an error may have.
const MaxErrorMessage = 4 << 10

// Validate reports an error whose code is none, or that is too long to log.
func (e *Error) Validate() error {
	if e.Code < 400 || e.Code > 599 {
		return Errorf(CodeInvalid, "error code %d is not in 400 to 599", e.Code)
	}
	if len(e.Message) > MaxErrorMessage || len(e.Details) > MaxErrorMessage || len(e.Trace) > maxTrace {
		return Errorf(CodeInvalid, "an error has %d bytes of message and of details at most, and %d of trace",
			MaxErrorMessage, maxTrace)
	}
	return nil
}

// hadNoEffect reports whether the request was refused before it changed anything, so that the same
// request may be tried again and is not answered from the kept answers.
func (e *Error) hadNoEffect() bool { return e.Code != CodeInternal && !e.effect }

// CodeOf returns the code of the first [Error] in err's chain, 0 for nil and CodeInternal for any
// other error.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// newTrace returns a random ID, 16 hex digits.
func newTrace() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
