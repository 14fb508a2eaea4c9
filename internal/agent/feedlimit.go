package agent

import (
	"context"
	"iter"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// maxFeedBytes is what one machine may answer to one request that follows nothing.
// An audit log and a workload's logs are smaller by far.
const maxFeedBytes = 64 << 20

// maxItems is how many items of a feed there may be where nobody knows what an
// item holds, and before the first entry.
const maxItems = 16 << 10

// feedLimit is what a machine may still answer to a request. Its zero value is nothing.
type feedLimit struct {
	entries int // lines of a log, entries of a record
	bytes   int
	items   int
	follow  bool // without an end: then it is passed on and not kept
}

// limitOf returns what a machine may answer to a request with this payload.
func limitOf(s streams.Spec, payload jsontext.Value) feedLimit {
	l := feedLimit{entries: math.MaxInt, bytes: maxFeedBytes, items: maxItems}
	switch s.Request {
	case GetAudit.Request:
		var r AuditRequest
		if json.Unmarshal(payload, &r) == nil {
			l.entries = r.most()
		}
	case ops.GetLogs.Request:
		var r ops.LogsRequest
		if json.Unmarshal(payload, &r) == nil {
			l.entries, l.follow = r.Most(), r.Follow
		}
	}
	return l
}

// take counts one item, and reports whether it is within the limit.
func (l *feedLimit) take(item jsontext.Value) error {
	if l.follow {
		return nil
	}
	l.items--
	l.bytes -= len(item)
	if l.bytes < 0 || l.items < 0 {
		return streams.Errorf(streams.CodeTooLarge, "the machine answers with more than %d MiB, and was cut off: ask for less, or look what runs there", maxFeedBytes>>20)
	}
	if l.entries == math.MaxInt {
		return nil
	}
	var lists struct {
		Lines   []jsontext.Value `json:"lines"`
		Entries []jsontext.Value `json:"entries"`
	}
	if err := json.Unmarshal(item, &lists); err != nil {
		return nil // whoever decodes all of it says what is wrong
	}
	if l.entries -= len(lists.Lines) + len(lists.Entries); l.entries < 0 {
		return streams.Errorf(streams.CodeTooLarge, "the machine answers with more entries than were asked for, and was cut off: look what runs there")
	}
	return nil
}

// limited does the request of a feed and yields the items within what the machine
// may answer. An error is the last thing it yields.
func limited(ctx context.Context, cl *streams.Client, p peer.ID, s streams.Spec, payload jsontext.Value) iter.Seq2[jsontext.Value, error] {
	raw := streams.Feed[jsontext.Value, jsontext.Value]{Family: s.Family, Request: s.Request, Reply: s.Reply, Verb: s.Verb}
	limit := limitOf(s, payload)
	return func(yield func(jsontext.Value, error) bool) {
		for item, err := range raw.Do(ctx, cl, p, payload) {
			if err == nil {
				err = limit.take(item)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}
