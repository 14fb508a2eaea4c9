package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// auditor writes what is done on this worker, by whom, before it is done.
type auditor struct {
	entries *audit.Log // nil when it cannot be opened
	broken  error      // why
	counts  *audit.Counters
	fleet   *trust.Fleet // nil in open mode
	log     *slog.Logger

	reading sync.Mutex // guards what follows
	reads   *audit.Log // who read logs; nil when it cannot be opened
	minute  int64
	readers map[reader]bool // who has a line of this minute
}

// reader is one who reads logs, or the audit log itself.
type reader struct {
	peer peer.ID
	what streams.Type
}

// readSegments caps the log of who read logs, in MiB.
const readSegments = 4

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
	a.reads, err = audit.Open(audit.Config{Dir: readsDir(stateDir), Segments: readSegments, Logger: log})
	if err != nil {
		log.Warn("who reads logs is not recorded", "err", err)
		a.reads = nil
	}
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
	for _, l := range []*audit.Log{a.entries, a.reads} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
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

// record is streams.Config.Audit: a line is on the disk before an effect, and
// before logs or the audit log itself are read.
func (a *auditor) record(ctx context.Context, r streams.Audited) (func(error), error) {
	e := audit.Entry{
		Kind: audit.KindCommand, Peer: r.Peer.ID.String(), Name: a.nameOf(r.Peer.ID), Verb: string(r.Verb), Type: string(r.Type),
		ID: r.ID.String(), Summary: clip(r.Summary(), audit.MaxSummary), Result: audit.ResultBegun,
	}
	switch {
	case r.Verb.HasEffect():
	case r.Verb == ops.GetLogs.Verb, r.Verb == GetAudit.Verb:
		e.Kind, e.Result = audit.KindLogRead, ""
		a.recordRead(ctx, reader{r.Peer.ID, r.Type}, e)
		return nil, nil
	default:
		return nil, nil
	}
	if a.entries == nil {
		return nil, a.broken
	}
	if _, err := a.entries.Append(ctx, e); err != nil {
		a.log.Error("the audit log cannot be written", "err", err)
		return nil, err
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

// recordRead writes that one reads logs: the first time in a minute, because more
// lines would only push out those of others. All reads are counted, see observe.
func (a *auditor) recordRead(ctx context.Context, by reader, e audit.Entry) {
	a.reading.Lock()
	defer a.reading.Unlock()
	if now := time.Now().Truncate(time.Minute).UnixMilli(); now != a.minute {
		a.minute, a.readers = now, make(map[reader]bool)
	}
	if a.reads == nil || a.readers[by] {
		return
	}
	if _, err := a.reads.Append(ctx, e); err != nil {
		a.log.Error("the audit log cannot be written", "err", err)
		return
	}
	a.readers[by] = true
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
func (a *auditor) head() greet.AuditHead {
	if a.entries == nil {
		return greet.AuditHead{}
	}
	h := a.entries.Head()
	return greet.AuditHead{Count: h.Count, Hash: h.Hash}
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
	case o.Err == nil && o.Family != greet.Family.Name:
		a.counts.Add(audit.Reads, o.Peer.String())
	}
}

// trustChanged records what the fleet has told this machine.
func (a *auditor) trustChanged() {
	own := a.fleet.Self().Grant
	revoked := len(a.fleet.Revocations())
	a.note(audit.KindTrust, "", fmt.Sprintf("own grant %s/%d until %s; %d revocations known", own.Line.Serial, own.N, own.ExpiresAt().UTC().Format(time.DateOnly), revoked))
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
