// Package lines is what --json prints where no message of a machine is passed on: one word for one
// thing in all commands, as docs/json.md describes it. Members that do not apply are left out, and
// those that are not known are null.
package lines

import (
	"context"
	"errors"
	"io/fs"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/streams"
)

// Error is why something failed.
type Error struct {
	Code    streams.Code   `json:"code"`
	Message string         `json:"message"`
	Details jsontext.Value `json:"details,omitzero"`
	Trace   string         `json:"trace,omitzero"`
}

// NewError returns the line's error for an answer of a machine, nil for nil.
func NewError(err error) *Error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Code: streams.CodeTimeout, Message: "interrupted"}
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return &Error{e.Code, e.Message, e.Details, e.Trace}
	}
	return &Error{Code: streams.CodeOf(err), Message: err.Error()}
}

// Failure is the line of a command that has failed as a whole.
type Failure struct {
	OK    bool   `json:"ok"`
	Error *Error `json:"error"`
}

// NewFailure returns the line of a command that ends with err; words are those that a person reads,
// and code is for an error that has none.
func NewFailure(err error, words string, code streams.Code) Failure {
	out := &Error{Code: code, Message: words}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		out.Code, out.Details, out.Trace = e.Code, e.Details, e.Trace
	} else if _, ok := errors.AsType[*fs.PathError](err); ok {
		out.Code = streams.CodeInternal
	}
	return Failure{Error: out}
}
