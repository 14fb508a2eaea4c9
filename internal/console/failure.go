package console

import (
	"errors"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/streams"
)

// printFailure prints the line of a command that has failed as a whole, if lines are asked for. The
// words are those that a person reads.
func (e *Env) printFailure(exit int, err error, words string) {
	if e.JSON {
		e.PrintJSON(lines.NewFailure(err, words, failureCode(exit, err))) // a failed write is reported by its caller
	}
}

// failureCode is the code of an error that has none of its own, by how the command exits.
func failureCode(exit int, err error) streams.Code {
	switch {
	case errors.Is(err, agent.ErrSelection), errors.Is(err, book.ErrUnknown):
		return streams.CodeNotFound
	case exit == ExitUnreachable:
		return streams.CodeUnavailable
	case exit == ExitDenied:
		return streams.CodeForbidden
	case exit == ExitUsage:
		return streams.CodeInvalid
	}
	return streams.CodeInternal
}
