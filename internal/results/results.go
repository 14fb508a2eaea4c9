// Package results shows what machines answer: as text, by a function for each kind of answer, or as
// lines of JSON.
package results

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/brief"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// Show prints an answer as text.
type Show func(*Printer, agent.Result) error

// Printer shows what machines answer to an operation, as it arrives.
type Printer struct {
	*console.Env
	Single bool // one machine was named: its lines need no prefix
	Bar    *output.Progress
	Table  Table // takes the place of Show for answers that are printed together; nil: there is none
	show   Show
	headed bool           // the table's head was printed
	kept   []agent.Result // for Table
}

// New returns a printer of answers, each by show; nil prints it as JSON. With single one machine was
// named.
func New(e *console.Env, show Show, single bool) *Printer {
	return &Printer{Env: e, show: show, Single: single, Bar: output.NewProgress(e.Terminal)}
}

// resultLine is a result as a line of JSON.
type resultLine struct {
	Peer    peer.ID        `json:"peer"`
	Name    string         `json:"name,omitzero"`
	OK      bool           `json:"ok"`
	Done    bool           `json:"done,omitzero"` // the last line of a feed
	Type    streams.Type   `json:"type,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Error   *lines.Error   `json:"error,omitzero"`
	Exit    *exitLine      `json:"exit,omitzero"`
}

// OwnFailure is the exit code of a command whose own is not known.
const OwnFailure = 125

// exitLine is the exit code in the last line of a command on a machine, and whose it is.
type exitLine struct {
	Code int    `json:"code"`
	Of   string `json:"of"` // "command" or "swarm"
}

// exitOf is set in the last result of a command.
func exitOf(res agent.Result) *exitLine {
	switch {
	case !res.Done || res.Type != run.Run.Reply, res.Code == nil && res.Err == nil: // or it goes on
		return nil
	case res.Code == nil:
		return &exitLine{OwnFailure, "swarm"}
	}
	return &exitLine{*res.Code, "command"}
}

// event shows that the connection is lost, or back.
func (r *Printer) event(res agent.Result) {
	if r.JSON {
		r.PrintJSON(res.EventLine())
		return
	}
	r.Bar.Clear()
	r.Stderr.Printf("swarm: %s: %s\n", res.Target.Label(), res.EventText())
}

// Show shows one result. It is called for one at a time.
func (r *Printer) Show(res agent.Result) {
	if res.Event != "" {
		r.event(res)
		return
	}
	if r.JSON {
		line := resultLine{
			Peer: res.Target.Peer, Name: res.Target.Display(), OK: res.Err == nil, Payload: res.Payload,
			Error: lines.NewError(res.Err), Done: res.Feed && res.Done,
		}
		if line.Exit = exitOf(res); line.Exit != nil {
			line.OK = line.Exit.Code == 0
		}
		if res.Payload != nil {
			line.Type = res.Type
		}
		r.PrintJSON(line)
		return
	}
	if r.Table != nil {
		r.keep(res)
		return
	}
	if errors.Is(res.Err, context.Canceled) {
		return // by the user, who knows
	}
	if res.Err != nil {
		r.Bar.Clear()
		r.Fault(res.Target.Label(), res.Err)
		return
	}
	if res.Payload != nil {
		r.Bar.Clear()
		r.text(res)
	}
}

// Fault prints why a machine gave no answer: one line, and with --verbose what was tried.
func (r *Printer) Fault(label string, err error) {
	r.Stderr.Printf("swarm: %s: %s\n", label, Words(err))
	if full := brief.Full(err); r.Verbose && full != "" {
		r.Stderr.Printf("       %s\n", output.Whole(full))
	}
}

// Words is an error for a person: without the code, which scripts find in JSON.
func Words(err error) string {
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*streams.Error](err)
	if !ok {
		return err.Error()
	}
	if e.Trace != "" {
		return fmt.Sprintf("%s; the machine's log says more at trace %s", e.Message, e.Trace)
	}
	return e.Message
}

// unreadable is said of an answer that is none of this operation.
const unreadable = "its answer cannot be read by this version; see it with --json"

func (r *Printer) text(res agent.Result) {
	if r.show == nil {
		r.Stdout.Printf("%s: %s\n", res.Target.Label(), res.Payload)
		return
	}
	if err := r.show(r, res); err != nil {
		r.Log.Info("an answer cannot be read", "machine", res.Target.Label(), "err", err)
		r.Stderr.Printf("swarm: %s: %s\n", res.Target.Label(), unreadable)
	}
}

// Head prints the head of a table, once.
func (r *Printer) Head(format string, titles ...any) {
	if !r.headed {
		r.headed = true
		r.Stdout.Printf(format, titles...)
	}
}
