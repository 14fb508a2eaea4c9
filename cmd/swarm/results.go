package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/schollz/progressbar/v3"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/streams"
)

// results shows what machines answer to an operation, as it arrives.
type results struct {
	*env
	op     operation
	single bool // one machine was named: its lines need no prefix
	headed bool // the table's head was printed

	mu   sync.Mutex // guards what follows
	sent map[peer.ID]int64
	bar  *progressbar.ProgressBar
}

func newResults(e *env, op operation, single bool) *results {
	return &results{env: e, op: op, single: single, sent: make(map[peer.ID]int64)}
}

// resultLine is a result as a line of JSON.
type resultLine struct {
	Peer    peer.ID        `json:"peer"`
	Name    string         `json:"name,omitzero"`
	OK      bool           `json:"ok"`
	Done    bool           `json:"done,omitzero"` // the last line of a feed
	Type    streams.Type   `json:"type,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Error   *errorLine     `json:"error,omitzero"`
}

type errorLine struct {
	Code    streams.Code   `json:"code"`
	Message string         `json:"message"`
	Details jsontext.Value `json:"details,omitzero"`
	Trace   string         `json:"trace,omitzero"`
}

func newErrorLine(err error) *errorLine {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return &errorLine{Code: streams.CodeTimeout, Message: "interrupted"}
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return &errorLine{e.Code, e.Message, e.Details, e.Trace}
	}
	return &errorLine{Code: streams.CodeOf(err), Message: err.Error()}
}

// result shows one result. It is called for one at a time.
func (r *results) result(res agent.Result) {
	if r.JSON {
		line := resultLine{
			Peer: res.Target.Peer, Name: res.Target.Display(), OK: res.Err == nil, Payload: res.Payload,
			Error: newErrorLine(res.Err), Done: res.Feed && res.Done,
		}
		if res.Payload != nil {
			line.Type = res.Type
		}
		r.PrintJSON(line)
		return
	}
	if errors.Is(res.Err, context.Canceled) {
		return // by the user, who knows
	}
	if res.Err != nil {
		r.clearBar()
		r.Stderr.Printf("swarm: %s: %s\n", res.Target.Label(), words(res.Err))
		return
	}
	if res.Payload != nil {
		r.clearBar()
		r.text(res)
	}
}

// words is an error for a person: without the code, which scripts find in JSON.
func words(err error) string {
	e, ok := errors.AsType[*streams.Error](err)
	if !ok {
		return err.Error()
	}
	if e.Trace != "" {
		return fmt.Sprintf("%s; the machine's log says more at trace %s", e.Message, e.Trace)
	}
	return e.Message
}

func (r *results) text(res agent.Result) {
	if r.op.show == nil {
		r.Stdout.Printf("%s: %s\n", res.Target.Label(), res.Payload)
		return
	}
	if err := r.op.show(r, res); err != nil {
		r.Stderr.Printf("swarm: %s: an answer that cannot be read: %v\n", res.Target.Label(), err)
	}
}

// head prints the head of a table, once.
func (r *results) head(format string, titles ...any) {
	if !r.headed {
		r.headed = true
		r.Stdout.Printf(format, titles...)
	}
}

// progress shows how much of a bundle all machines together were sent.
func (r *results) progress(t agent.Target, sent, total int64) {
	if r.JSON || !output.IsTerminal(r.terminal) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar == nil {
		r.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(r.terminal), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription("sending"), progressbar.OptionClearOnFinish())
	}
	r.sent[t.Peer] = sent
	var all int64
	for _, n := range r.sent {
		all += n
	}
	r.bar.ChangeMax64(total * int64(len(r.sent)))
	r.bar.Set64(all)
}

func (r *results) clearBar() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar != nil {
		r.bar.Clear()
	}
}
