package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

func auditDir(stateDir string) string { return filepath.Join(stateDir, "audit") }

// auditor writes what is done on this worker, by whom, before it is done.
type auditor struct {
	entries *audit.Log // nil when it cannot be opened
	broken  error      // why
	counts  *audit.Counters
	fleet   *trust.Fleet // nil in open mode
	log     *slog.Logger
}

// openAudit opens the worker's log. A log that cannot be opened refuses all that
// has an effect, and lets the rest go on.
func openAudit(stateDir string, fleet *trust.Fleet, log *slog.Logger) (*auditor, error) {
	dir := auditDir(stateDir)
	a := &auditor{fleet: fleet, log: log}
	a.entries, a.broken = audit.Open(audit.Config{Dir: dir, Logger: log})
	if a.broken != nil {
		log.Error("the audit log cannot be written, so nothing that has an effect will be done", "err", a.broken)
	}
	var err error
	a.counts, err = audit.OpenCounters(audit.CountersConfig{Dir: dir, Logger: log})
	if err != nil {
		log.Warn("reads and refusals are not counted", "err", err)
		a.counts = nil
	}
	return a, nil
}

// close writes what is left.
func (a *auditor) close() error {
	var err error
	if a.counts != nil {
		err = a.counts.Close()
	}
	if a.entries != nil {
		err = errors.Join(err, a.entries.Close())
	}
	return err
}

// run writes the counts now and then, until ctx ends.
func (a *auditor) run(ctx context.Context) error {
	if a.counts == nil {
		return nil
	}
	return a.counts.Run(ctx)
}

// record is streams.Config.Record: a line is on the disk before an effect, and
// before logs or the audit log itself are read.
func (a *auditor) record(ctx context.Context, r streams.Recorded) (func(error), error) {
	e := audit.Entry{
		Kind: audit.KindCommand, Peer: r.Peer.ID.String(), Name: a.nameOf(r.Peer.ID), Verb: string(r.Verb), Type: string(r.Type),
		ID: r.ID.String(), Summary: clip(r.Summary(), audit.MaxSummary), Result: audit.ResultBegun,
	}
	switch {
	case r.Verb.HasEffect():
	case r.Verb == ops.GetLogs.Verb, r.Verb == GetAudit.Verb:
		e.Kind, e.Result = audit.KindLogRead, ""
	default:
		return nil, nil
	}
	if a.entries == nil {
		if !r.Verb.HasEffect() {
			return nil, nil
		}
		return nil, a.broken
	}
	if _, err := a.entries.Append(ctx, e); err != nil {
		if !r.Verb.HasEffect() {
			return nil, nil
		}
		a.log.Error("the audit log cannot be written", "err", err)
		return nil, err
	}
	if !r.Verb.HasEffect() {
		return nil, nil
	}
	return func(err error) {
		e.Summary, e.Result = "", "ok"
		if err != nil {
			code := strconv.Itoa(int(streams.CodeOf(err)))
			e.Result = clip(code+" "+strings.TrimPrefix(oneLine(err.Error()), code+": "), audit.MaxWord)
		}
		if _, err := a.entries.Append(context.WithoutCancel(ctx), e); err != nil {
			a.log.Error("the audit log cannot be written", "err", err)
		}
	}, nil
}

// nameOf is the peer's name in the fleet.
func (a *auditor) nameOf(p peer.ID) string {
	if a.fleet == nil {
		return ""
	}
	m, ok := a.fleet.Known(p)
	if !ok {
		return ""
	}
	return m.Grant.Name
}

// head is the end of the log.
func (a *auditor) head() streams.AuditHead {
	if a.entries == nil {
		return streams.AuditHead{}
	}
	h := a.entries.Head()
	return streams.AuditHead{Count: h.Count, Hash: h.Hash}
}

// note records what concerns rights on this machine.
func (a *auditor) note(kind audit.Kind, p peer.ID, words string) {
	if a.entries == nil {
		return
	}
	e := audit.Entry{Kind: kind, Summary: clip(words, audit.MaxSummary)}
	if p != "" {
		e.Peer, e.Name = p.String(), a.nameOf(p)
	}
	if _, err := a.entries.Append(context.Background(), e); err != nil {
		a.log.Error("the audit log cannot be written", "err", err)
	}
}

// observe counts what has no line of its own.
func (a *auditor) observe(o streams.Outcome) {
	if !o.Inbound || a.counts == nil {
		return
	}
	switch code := streams.CodeOf(o.Err); {
	case code == streams.CodeUnauthenticated, code == streams.CodeForbidden, code == streams.CodeTooMany:
		a.counts.Add(audit.Refusals, o.Peer.String())
	case o.Err == nil && o.Family != streams.LifecycleFamily.Name:
		a.counts.Add(audit.Reads, o.Peer.String())
	}
}

// trustChanged records what the fleet has told this machine.
func (a *auditor) trustChanged() {
	own := a.fleet.Self().Grant
	var signers []string
	for _, d := range a.fleet.Records().Digests() {
		signers = append(signers, fmt.Sprintf("%s:%d", d.Signer, d.Seq))
	}
	a.note(audit.KindTrust, "", fmt.Sprintf("own grant %s until %s; records %s", own.Serial, own.ExpiresAt().UTC().Format(time.DateOnly), strings.Join(signers, " ")))
}

// clip cuts a text to so many bytes of UTF-8.
func clip(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// AuditEntry is a line of the audit log.
type AuditEntry struct {
	audit.Entry `json:",inline"`
}

// Text is the entry in a line for people.
func (e AuditEntry) Text() string {
	who := e.Name
	if who == "" {
		who = e.Peer
	}
	if who == "" {
		who = "this machine"
	}
	what := string(e.Kind)
	if e.Type != "" {
		what = e.Type
	}
	text := fmt.Sprintf("%s %s: %s", time.UnixMilli(e.Time).UTC().Format(time.DateTime), who, what)
	if e.Summary != "" {
		text += " " + e.Summary
	}
	if e.Result != "" {
		text += " (" + e.Result + ")"
	}
	return text
}

// ReadAudit returns the last entries of the audit log in a state directory; none
// when there is no log.
func ReadAudit(stateDir string, last int) (out []AuditEntry, err error) {
	for e, err := range audit.Read(auditDir(stateDir), audit.Filter{}) {
		if err != nil {
			if errors.Is(err, errNotExist) {
				err = nil
			}
			return out, err
		}
		if e.Kind == audit.KindAnchor {
			continue
		}
		if out = append(out, AuditEntry{e}); len(out) > last {
			out = out[1:]
		}
	}
	return out, nil
}
