package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

// GetAudit asks a worker who did what on it: a row of items, the last of which has
// no entries and the head of the log. Its errors: 503 the log cannot be read, 429 too
// many read or verify it now.
var GetAudit = streams.Feed[AuditRequest, Audit]{
	Family: streams.Family{Name: "audit", Versions: []string{"1.0.0"}}, Request: "get_audit", Reply: "audit", Verb: "audit.read",
}

// Bounds of the audit family.
const (
	maxAuditEntries = 100_000
	auditPerItem    = 64 // entries; each is of 16 KiB at most
	maxAuditReads   = 8  // at a time: each reads the whole log
	// maxVerifications are at a time; each computes all hashes of the log.
	maxVerifications = 2
)

// AuditRequest says which entries are wanted.
type AuditRequest struct {
	Since int64 `json:"since,omitzero"` // Unix ms, inclusive
	Limit int   `json:"limit,omitzero"` // the last so many; 0 for all
	// Verify has the worker check its whole log, against these heads, too.
	Verify bool         `json:"verify,omitzero"`
	Heads  []audit.Head `json:"heads,omitzero"`
}

// Validate checks the bounds.
func (r AuditRequest) Validate() error {
	if r.Since < 0 || r.Limit < 0 || r.Limit > maxAuditEntries || len(r.Heads) > maxHeads {
		return fmt.Errorf("since and limit: want 0 or more, %d at most; heads: %d at most", maxAuditEntries, maxHeads)
	}
	return nil
}

// most is how many entries an answer has at most.
func (r AuditRequest) most() int {
	if r.Limit > 0 {
		return r.Limit
	}
	return maxAuditEntries
}

// Summary names the request in the log it asks for.
func (r AuditRequest) Summary() string { return fmt.Sprintf("since=%d verify=%v", r.Since, r.Verify) }

// Audit is an item of the answer.
type Audit struct {
	Entries []AuditEntry `json:"entries,omitzero"`
	// Head is the end of the log; set in the last item.
	Head *audit.Head `json:"head,omitzero"`
	// Intact is set where Verify was asked; Reason says what is wrong.
	Intact *bool  `json:"intact,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// registerAudit serves the audit family on m.
func registerAudit(m *streams.Mux, a *auditor, stateDir string) error {
	reading, verifying := make(chan struct{}, maxAuditReads), make(chan struct{}, maxVerifications)
	return GetAudit.Handle(m, func(ctx context.Context, _ streams.Peer, r AuditRequest, send func(Audit) error) (Audit, error) {
		turn := reading
		if r.Verify {
			turn = verifying
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			return Audit{}, streams.Errorf(streams.CodeTooMany, "%d others read this log now: wait a moment, then repeat", cap(turn))
		}
		if err := sendAudit(ctx, stateDir, r, send); err != nil {
			return Audit{}, err
		}
		var last Audit
		if a.entries != nil {
			head := a.entries.Head()
			last.Head = &head
		}
		if r.Verify {
			last.Intact, last.Reason = verifyAudit(stateDir, r.Heads)
		}
		return last, nil
	})
}

func sendAudit(ctx context.Context, stateDir string, r AuditRequest, send func(Audit) error) error {
	filter := audit.Filter{}
	if r.Since > 0 {
		filter.Since = time.UnixMilli(r.Since)
	}
	if r.Limit > 0 {
		total := 0
		for _, err := range entriesOf(stateDir, filter) {
			if err == nil {
				total++
			}
		}
		return sendEntries(ctx, stateDir, filter, max(0, total-r.Limit), send)
	}
	return sendEntries(ctx, stateDir, filter, 0, send)
}

func sendEntries(ctx context.Context, stateDir string, f audit.Filter, skip int, send func(Audit) error) error {
	var item Audit
	for e, err := range entriesOf(stateDir, f) {
		if err != nil {
			return streams.Errorf(streams.CodeUnavailable, "the audit log cannot be read: %v", err)
		}
		if skip--; skip >= 0 {
			continue
		}
		item.Entries = append(item.Entries, AuditEntry{e})
		if len(item.Entries) < auditPerItem {
			continue
		}
		if err := send(item); err != nil {
			return err
		}
		item.Entries = nil
	}
	if len(item.Entries) == 0 {
		return ctx.Err()
	}
	return send(item)
}

// verifyAudit checks the chains, and that the heads are in the first.
func verifyAudit(stateDir string, known []audit.Head) (*bool, string) {
	err := VerifyAudit(stateDir, known...)
	ok := err == nil
	if err != nil {
		return &ok, err.Error()
	}
	return &ok, ""
}

// heads keep the ends of each machine's audit log that it told: the first since the
// log was last verified, and some of the latest.
type heads struct{ dir string }

// maxHeads is how many ends are kept for a machine, and sent along to be verified.
const maxHeads = 8

const maxHeadsFile = 64 << 10 // bytes

func headsOf(stateDir string) heads { return heads{filepath.Join(stateDir, "heads")} }

func (h heads) path(p peer.ID) string { return filepath.Join(h.dir, p.String()+".json") }

// get returns what a machine told, the oldest first.
func (h heads) get(p peer.ID) (out []audit.Head, err error) {
	data, err := durable.ReadFile(h.path(p), maxHeadsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err = json.Unmarshal(data, &out); err != nil {
		// What the machine told before is lost; it must not keep us from remembering what it tells from now on.
		aside, _ := durable.SetAside(h.path(p))
		return nil, fmt.Errorf("%s: %w; it was set aside (%s), and the next answer begins anew", h.path(p), err, aside)
	}
	return out[:min(len(out), maxHeads)], nil
}

// add keeps a further end. One that is not beyond the others says nothing new.
func (h heads) add(p peer.ID, head audit.Head) error {
	list, err := h.get(p)
	if err != nil || len(list) > 0 && list[len(list)-1].Count >= head.Count {
		return err
	}
	if list = append(list, head); len(list) > maxHeads {
		list = slices.Delete(list, 1, 2) // the oldest stays until it was verified
	}
	return h.put(p, list...)
}

// put replaces what is kept.
func (h heads) put(p peer.ID, list ...audit.Head) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return durable.WriteFile(h.path(p), data, 0o600)
}

// greeted remembers how far the audit log of a machine went when it was met. Of
// machines that are no members nothing is remembered, except on request.
func (c *Controller) greeted(info greet.PeerInfo) {
	if info.Grant == nil || info.Hello.Audit == nil || info.Hello.Audit.Count == 0 {
		return
	}
	if err := headsOf(c.cfg.StateDir).add(info.ID, audit.Head(*info.Hello.Audit)); err != nil {
		c.log.Warn("the end of the audit log could not be remembered", "peer", info.ID, "err", err)
	}
}

// AuditReport is what a machine tells of its audit log.
type AuditReport struct {
	Target  Target
	Entries []AuditEntry
	Head    *audit.Head
	// Broken says that the log does not hold, or lacks what the machine had told
	// before.
	Broken string
	Err    error
}

// Audit asks machines who did what on them, many at a time, and remembers how far each
// log went. It is told of each machine as it answers.
func (c *Controller) Audit(ctx context.Context, s Selection, r AuditRequest, timeout time.Duration, emit func(AuditReport)) (Summary, error) {
	h := headsOf(c.cfg.StateDir)
	var (
		mu  sync.Mutex
		sum Summary
		wg  sync.WaitGroup
	)
	slots := make(chan struct{}, c.cfg.FanOut)
	_, err := c.each(ctx, s, GetAudit.Spec(), func(t Target) {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			rep := AuditReport{Target: t}
			rep.ask(ctx, c, h, r, timeout)
			mu.Lock()
			defer mu.Unlock()
			sum.Add(rep.Err)
			emit(rep)
		})
	})
	wg.Wait()
	return sum, c.leftOut(&sum, s, err)
}

func (rep *AuditReport) ask(ctx context.Context, c *Controller, h heads, r AuditRequest, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	known, err := h.get(rep.Target.Peer)
	if err != nil {
		c.log.Warn("what the machine told before cannot be read", "peer", rep.Target.Peer, "err", err)
	}
	r.Heads = known
	if rep.Err = rep.read(ctx, c.Node.Client, r); rep.Err != nil {
		return
	}
	rep.compare(known)
	if rep.Broken != "" {
		rep.Broken += "; or a second machine has this identity"
		if words := c.twinWords(rep.Target.Peer); words != "" {
			rep.Broken += ", as is known: " + words
		}
	}
	if rep.Head != nil && rep.Broken == "" {
		keep := h.add
		if r.Verify { // and so is all before it
			keep = func(p peer.ID, head audit.Head) error { return h.put(p, head) }
		}
		if err := keep(rep.Target.Peer, *rep.Head); err != nil {
			c.log.Warn("the end of the audit log could not be remembered", "peer", rep.Target.Peer, "err", err)
		}
	}
}

// read takes the answer, and no more of it than a machine may answer.
func (rep *AuditReport) read(ctx context.Context, cl *streams.Client, r AuditRequest) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for raw, err := range limited(ctx, cl, rep.Target.Peer, GetAudit.Spec(), payload) {
		var item Audit
		if err == nil {
			err = json.Unmarshal(raw, &item)
		}
		if err != nil {
			rep.Entries = nil // a part looks like the whole
			return timedOut(ctx, rep.Target, err)
		}
		rep.Entries = append(rep.Entries, item.Entries...)
		if item.Head != nil {
			rep.Head = item.Head
		}
		if item.Intact != nil && !*item.Intact {
			rep.Broken = item.Reason
		}
	}
	return nil
}

// compare holds the end of the log against what the machine had told before: a
// worker that lies about Verify cannot bring back what it cut off.
func (rep *AuditReport) compare(known []audit.Head) {
	if len(known) == 0 || rep.Head == nil || rep.Broken != "" {
		return
	}
	if was := known[len(known)-1]; rep.Head.Count < was.Count || rep.Head.Count == was.Count && rep.Head.Hash != was.Hash {
		rep.Broken = fmt.Sprintf("the log had %d entries when the machine was asked last, and has %d now: it was cut or begun anew", was.Count, rep.Head.Count)
	}
}
