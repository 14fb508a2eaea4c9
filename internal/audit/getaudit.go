package audit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// GetAudit asks a worker who did what on it: a row of items, the last of which has
// no entries and the head of the log. Its errors: 503 the log cannot be read, 429 too
// many read or verify it now.
var GetAudit = streams.Feed[Request, Answer]{
	Family: streams.Family{Name: "audit", Versions: []string{"1.0.0"}}, Request: "get_audit", Reply: "audit", Verb: "audit.read",
}

// RefusedWithin is how far back refusals are shown where no time is given.
const RefusedWithin = 24 * time.Hour

// Bounds of the audit family.
const (
	maxAuditEntries = 100_000
	auditPerItem    = 64 // entries; each is of 16 KiB at most
	maxAuditReads   = 8  // at a time: each reads the whole log
	// maxVerifications are at a time; each computes all hashes of the log.
	maxVerifications = 2
)

// Request says which entries are wanted.
type Request struct {
	Since int64 `json:"since,omitzero"` // Unix ms, inclusive
	Limit int   `json:"limit,omitzero"` // the last so many; 0 for all
	// Verify has the worker check its whole log, against these heads, too.
	Verify bool   `json:"verify,omitzero"`
	Heads  []Head `json:"heads,omitzero"`
}

// Validate checks the bounds.
func (r Request) Validate() error {
	if r.Since < 0 || r.Limit < 0 || r.Limit > maxAuditEntries || len(r.Heads) > maxHeads {
		return fmt.Errorf("since and limit: want 0 or more, %d at most; heads: %d at most", maxAuditEntries, maxHeads)
	}
	return nil
}

// Most returns how many entries an answer has at most.
func (r Request) Most() (entries int, ends bool) { return cmp.Or(r.Limit, maxAuditEntries), true }

// Summary names the request in the log it asks for.
func (r Request) Summary() string { return fmt.Sprintf("since=%d verify=%v", r.Since, r.Verify) }

// Answer is an item of the answer.
type Answer struct {
	Entries []Entry `json:"entries,omitzero"`
	// Head is the end of the log; set in the last item.
	Head *Head `json:"head,omitzero"`
	// Refused is who was refused since the time of the request, or within a day; set in the last
	// item.
	Refused []Refused `json:"refused,omitzero"`
	// Intact is set where Verify was asked; Reason says what is wrong.
	Intact *bool  `json:"intact,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// Len returns how many entries the item has.
func (a Answer) Len() int { return len(a.Entries) }

// Operation is get_audit of the record that r keeps. It is audited itself. r may be nil for a
// program that only asks.
func Operation(r *Recorder) ops.Operation {
	reading, verifying := make(chan struct{}, maxAuditReads), make(chan struct{}, maxVerifications)
	o := ops.FromFeed(GetAudit, func(ctx context.Context, _ streams.Peer, req Request, send func(Answer) error) (Answer, error) {
		turn := reading
		if req.Verify {
			turn = verifying
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			return Answer{}, streams.Errorf(streams.CodeTooMany, "%d others read this log now: wait a moment, then repeat",
				cap(turn))
		}
		return r.answer(ctx, req, send)
	})
	o.Audited = true
	return o
}

// answer sends the entries and returns the last item, which has none.
func (r *Recorder) answer(ctx context.Context, req Request, send func(Answer) error) (last Answer, err error) {
	if err := sendAudit(ctx, r.dir, req, send); err != nil {
		return Answer{}, err
	}
	if r.entries != nil {
		head := r.entries.Head()
		last.Head = &head
	}
	since := time.Now().Add(-RefusedWithin)
	if req.Since > 0 {
		since = time.UnixMilli(req.Since)
	}
	if last.Refused, err = ReadRefused(r.dir, since); err != nil {
		r.log.Warn("refusals cannot be shown", "err", err)
	}
	if req.Verify {
		err := VerifyBoth(r.dir, req.Heads...)
		intact := err == nil
		if last.Intact = &intact; !intact {
			last.Reason = err.Error()
		}
	}
	return last, nil
}

func sendAudit(ctx context.Context, dir string, r Request, send func(Answer) error) error {
	since := time.UnixMilli(r.Since)
	if r.Limit > 0 {
		total := 0
		for _, err := range readBoth(dir, since) {
			if err == nil {
				total++
			}
		}
		return sendEntries(ctx, dir, since, max(0, total-r.Limit), send)
	}
	return sendEntries(ctx, dir, since, 0, send)
}

func sendEntries(ctx context.Context, dir string, since time.Time, skip int, send func(Answer) error) error {
	var item Answer
	for e, err := range readBoth(dir, since) {
		if err != nil {
			return streams.Errorf(streams.CodeUnavailable, "the audit log cannot be read: %v", err)
		}
		if skip--; skip >= 0 {
			continue
		}
		item.Entries = append(item.Entries, e)
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
