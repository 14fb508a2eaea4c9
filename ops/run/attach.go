package run

import (
	"errors"
	"fmt"
	"math"

	"github.com/seed-b490fa12/swarm/streams"
)

// Attach shows what a detached command has printed and prints, from an offset on, and how it ended; without
// an ID it lists those that there are.
var Attach = streams.Feed[AttachRequest, Output]{Family: Family(), Request: "attach", Reply: "run_output", Verb: VerbRun}

// Bounds of detached commands.
const (
	// MaxDetached is how many a machine keeps, also of those that have ended.
	MaxDetached = 32
	// MaxID is the longest ID, in bytes.
	MaxID = 16
)

// AttachRequest asks for the output of a detached command.
type AttachRequest struct {
	// ID is what the command is called; empty asks for a list.
	ID string `json:"id,omitzero"`
	// Offset is how many bytes of both streams together the asker has already.
	Offset int64 `json:"offset,omitzero"`
	// Stop ends the command.
	Stop bool `json:"stop,omitzero"`
}

// Validate checks the bounds.
func (r AttachRequest) Validate() error {
	for _, c := range r.ID {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("id: %.40q is none: want letters and digits", r.ID)
		}
	}
	switch {
	case len(r.ID) > MaxID:
		return fmt.Errorf("id: %d bytes, at most %d", len(r.ID), MaxID)
	case r.Offset < 0:
		return errors.New("offset: it is negative")
	case r.ID == "" && (r.Offset != 0 || r.Stop):
		return errors.New("id: it is missing")
	}
	return nil
}

// Most says that the output of a command has no end that the asker could know.
func (r AttachRequest) Most() (entries int, ends bool) { return math.MaxInt, r.ID == "" }

// After asks for what comes behind an item.
func (r AttachRequest) After(o Output) AttachRequest { return AttachRequest{ID: r.ID, Offset: o.Next} }

// Summary is the request in words.
func (r AttachRequest) Summary() string {
	words := r.ID
	if r.Stop {
		words += " stop"
	}
	return words
}

// Detached is a command that goes on, or went on, without its asker.
type Detached struct {
	ID string `json:"id"`
	// Command is what it was asked for, in words.
	Command string `json:"command"`
	// Since is when it was started, in Unix milliseconds.
	Since int64 `json:"since"`
	PID   int   `json:"pid"`
	// Bytes are those that it has printed.
	Bytes int64 `json:"bytes"`
	// Exit is how it ended; nil while it runs.
	Exit *Exit `json:"exit,omitzero"`
}
