package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/schollz/progressbar/v3"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// results shows what machines answer, as it arrives.
type results struct {
	a      *app
	job    agent.Job
	single bool // one machine was named: logs need no prefix
	header bool // the table's header was printed

	mu   sync.Mutex // guards what follows
	bars map[peer.ID]int64
	bar  *progressbar.ProgressBar
}

func (a *app) newResults(j agent.Job, single bool) *results {
	return &results{a: a, job: j, single: single, bars: make(map[peer.ID]int64)}
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
	if r.a.json {
		line := resultLine{
			Peer: res.Target.Peer, Name: res.Target.Display(), OK: res.Err == nil, Payload: res.Payload,
			Error: newErrorLine(res.Err), Done: res.Feed && res.Done,
		}
		if res.Payload != nil {
			line.Type = res.Type
		}
		r.a.printJSON(line)
		return
	}
	if errors.Is(res.Err, context.Canceled) {
		return // by the user, who knows
	}
	if res.Err != nil {
		r.clearBar()
		r.a.stderr.printf("swarm: %s: %s\n", res.Target.Label(), words(res.Err))
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
	switch res.Type {
	case ops.GetStats.Reply:
		show(r, res, r.stats)
	case ops.StartMiner.Reply:
		show(r, res, r.ack)
	case ops.GetLogs.Reply:
		show(r, res, r.logs)
	case deploy.Deploy.Reply:
		show(r, res, r.deployed)
	default:
		r.a.stdout.printf("%s: %s\n", res.Target.Label(), res.Payload)
	}
}

// show decodes the payload for a printer of its type.
func show[T any](r *results, res agent.Result, print func(agent.Target, T)) {
	var v T
	if err := json.Unmarshal(res.Payload, &v); err != nil {
		r.a.stderr.printf("swarm: %s: an answer that cannot be read: %v\n", res.Target.Label(), err)
		return
	}
	print(res.Target, v)
}

const statsFormat = "%-24.24s %8s %5s %5s %6s  %-12.12s %-10s %12s %9s %.60s\n"

func (r *results) stats(t agent.Target, s ops.Stats) {
	if !r.header {
		r.header = true
		r.a.stdout.printf(statsFormat, "MACHINE", "UP", "CPU", "MEM", "LOAD", "WORKLOAD", "STATE", "HASH RATE", "SHARES", "POOL")
	}
	h := s.Host
	head := []any{t.Label(), seconds(s.UptimeSeconds), percent(h.CPUPercent), share(h.MemUsed, h.MemTotal), load(h.Load1)}
	if len(s.Workloads) == 0 {
		r.a.stdout.printf(statsFormat, append(head, unknown, "", "", "", "")...)
	}
	for _, w := range s.Workloads {
		r.a.stdout.printf(statsFormat, append(head, w.Name, w.State, hashRate(w.HashRate),
			number(w.SharesAccepted)+"/"+number(w.SharesRejected), w.Pool)...)
		head = []any{"", "", "", "", ""}
	}
}

func load(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.2f", *v)
}

func (r *results) ack(t agent.Target, m ops.MinerAck) {
	r.a.stdout.printf("%-24.60s %-12.60s %-10.60s %-10.60s %s\n", t.Label(), m.Name, m.State, m.Algorithm, hashRate(m.HashRate))
}

func (r *results) logs(t agent.Target, l ops.Logs) {
	prefix := ""
	if !r.single {
		prefix = t.Label() + " | "
	}
	if l.Gap != nil {
		r.a.stderr.printf("swarm: %s: bytes %d to %d of the log are gone: they were dropped before they could be sent\n",
			t.Label(), l.Gap.From, l.Gap.To)
	}
	for _, line := range l.Lines {
		r.a.stdout.printf("%s%s\n", prefix, whole(strings.ReplaceAll(line.Text, "\t", "    ")))
	}
	if l.Exit != nil {
		r.a.stderr.printf("swarm: %s: %s ended with exit code %d\n", t.Label(), l.Name, l.Exit.Code)
	}
}

func (r *results) deployed(t agent.Target, d deploy.Ack) {
	previous := ""
	if d.Previous != "" && d.Previous != d.Release {
		previous = ", was " + d.Previous
	}
	r.a.stdout.printf("%-24.60s %.60s %.60s %.60s (%s sent%.80s)\n", t.Label(), d.Name, d.Release, d.State, size(d.Bytes), previous)
}

// progress shows how much of a bundle all machines together were sent.
func (r *results) progress(t agent.Target, sent, total int64) {
	if r.a.json || !isTerminal(r.a.terminal) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar == nil {
		r.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(r.a.terminal), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription("sending"), progressbar.OptionClearOnFinish())
	}
	r.bars[t.Peer] = sent
	var all int64
	for _, n := range r.bars {
		all += n
	}
	r.bar.ChangeMax64(total * int64(len(r.bars)))
	r.bar.Set64(all)
}

func (r *results) clearBar() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar != nil {
		r.bar.Clear()
	}
}

func (r *results) end() { r.clearBar() }
