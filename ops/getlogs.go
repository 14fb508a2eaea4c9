package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// GetLogs asks for what a workload printed, and with Follow for what it prints from now on.
var GetLogs = streams.Feed[LogsRequest, Logs]{
	Family: LogsFamily(), Request: "get_logs", Reply: "logs", Verb: VerbLogsRead,
}

// getLogs is audited: what a workload prints may hold what others should not read.
func getLogs(w Worker) Operation {
	o := FromFeed(GetLogs, func(ctx context.Context, _ streams.Peer, req LogsRequest, send func(Logs) error) (Logs, error) {
		return w.Logs(ctx, req, send)
	})
	o.Audited = true
	return o
}

// DefaultLines is how many lines come when a request says nothing.
const DefaultLines = 100

// LogsRequest asks for lines of a log. Without Since and Offset the last lines come, else the first
// ones from there. Follow sends all that comes after them too, until the workload ends.
type LogsRequest struct {
	Name   string `json:"name,omitzero"`   // may be empty when there is one workload only
	Lines  int    `json:"lines,omitzero"`  // 0 for DefaultLines, at most logs.MaxLines
	Since  int64  `json:"since,omitzero"`  // Unix ms, inclusive
	Until  int64  `json:"until,omitzero"`  // Unix ms, inclusive
	Offset *int64 `json:"offset,omitzero"` // go on from here: the next of an earlier answer
	Follow bool   `json:"follow,omitzero"`
}

// Most returns how many lines the answer has at most. A followed log does not end.
func (r LogsRequest) Most() (lines int, ends bool) { return cmp.Or(r.Lines, DefaultLines), !r.Follow }

// Summary says what is asked.
func (r LogsRequest) Summary() string {
	return fmt.Sprintf("name=%s lines=%d follow=%v", r.Name, r.Lines, r.Follow)
}

// Validate checks the bounds.
func (r LogsRequest) Validate() error {
	if r.Name != "" {
		if err := miner.ValidName(r.Name); err != nil {
			return err
		}
	}
	if r.Lines < 0 || r.Lines > logs.MaxLines {
		return fmt.Errorf("lines %d: need 0 to %d", r.Lines, logs.MaxLines)
	}
	if r.Since < 0 || r.Until < 0 || r.Until > 0 && r.Until < r.Since {
		return fmt.Errorf("since %d and until %d: need Unix ms, in this order", r.Since, r.Until)
	}
	if r.Offset != nil && (*r.Offset < 0 || r.Since > 0) {
		return errors.New("offset must not be negative, and excludes since")
	}
	return nil
}

// Logs is a stretch of a log. It takes at most 512 KiB on the wire.
type Logs struct {
	Name    string      `json:"name"`
	Lines   []logs.Line `json:"lines"`
	Next    int64       `json:"next"`          // the offset to go on from
	HasMore bool        `json:"hasMore"`       // lines that match were left out: ask with a larger count, or from next
	Gap     *logs.Gap   `json:"gap,omitzero"`  // lines before the first one here were dropped unread
	Exit    *Exit       `json:"exit,omitzero"` // how the workload ended, in the last item of a followed log
}

// Len returns how many lines there are.
func (l Logs) Len() int { return len(l.Lines) }

// Exit is the end of a workload.
type Exit struct {
	Code   int    `json:"code"`            // exit code, -1 after a signal
	Signal string `json:"signal,omitzero"` // as "killed"
}

// followPause is how long a followed log collects lines for one message.
const followPause = 50 * time.Millisecond

// Logs sends lines of a log and returns the last item. When ctx ends a followed log ends with its
// error.
func (s *Service) Logs(ctx context.Context, req LogsRequest, send func(Logs) error) (Logs, error) {
	w, err := s.findOnly(req.Name)
	if err != nil {
		return Logs{}, err
	}
	f := follower{w: w, run: w.current(), req: req}
	for {
		item, err := f.next()
		if err != nil || f.over {
			return item, err
		}
		if len(item.Lines) > 0 || item.Gap != nil {
			if err := send(item); err != nil {
				return Logs{}, err
			}
		}
		if err := f.wait(ctx); err != nil {
			return Logs{}, err
		}
	}
}

// findOnly finds the workload by name, or the only one there is.
func (s *Service) findOnly(name string) (*workload, error) {
	if name != "" {
		return s.find(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch len(s.workloads) {
	case 0:
		return nil, streams.Errorf(streams.CodeNotFound, "no workload was ever started here")
	case 1:
		for _, w := range s.workloads {
			return w, nil
		}
	}
	return nil, streams.Errorf(streams.CodeInvalid, "name one of the workloads: %s", s.names())
}

// follower reads on in a log from one item to the next.
type follower struct {
	w      *workload
	run    *run // the one that is followed, nil when none runs: a later start is not followed
	req    LogsRequest
	begun  bool
	offset int64
	more   bool // there is more to read at once
	over   bool // the last item was read
}

// next reads what there is.
func (f *follower) next() (Logs, error) {
	ended := f.run == nil || isClosed(f.run.done) // looked at before reading, so that the last words are not missed
	late := f.req.Until > 0 && time.Now().UnixMilli() > f.req.Until
	page, more, err := f.read()
	if err != nil {
		return Logs{}, logError(f.w.name, err)
	}
	f.offset, f.more = page.Next, more
	item := Logs{Name: f.w.name, Lines: page.Lines, Next: page.Next, HasMore: page.More, Gap: page.Gap}
	if item.Lines == nil {
		item.Lines = []logs.Line{}
	}
	f.over = !f.req.Follow || !more && (ended || late || page.Over)
	if f.over && f.req.Follow && ended {
		item.Exit = f.w.lastExit()
	}
	return item, nil
}

// read reads a page; more says that the next one can be read at once.
func (f *follower) read() (page logs.Page, more bool, err error) {
	q := logs.Query{Until: f.req.Until}
	if f.begun {
		page, err = f.w.log.Read(f.offset, q)
		return page, page.More, err
	}
	f.begun = true
	q.Lines = f.req.Lines
	if q.Lines == 0 {
		q.Lines = DefaultLines
	}
	switch {
	case f.req.Offset != nil:
		page, err = f.w.log.Read(*f.req.Offset, q)
	case f.req.Since > 0:
		var offset int64
		if offset, err = f.w.log.OffsetAt(f.req.Since); err == nil {
			page, err = f.w.log.Read(offset, q)
		}
	default:
		page, err = f.w.log.Tail(q)
		return page, false, err // more is what came before, which nobody waits for
	}
	return page, page.More, err
}

// wait returns when there may be something to read.
func (f *follower) wait(ctx context.Context) error {
	if f.more || f.run == nil {
		return ctx.Err()
	}
	var until <-chan time.Time
	if f.req.Until > 0 {
		until = time.After(time.Until(time.UnixMilli(f.req.Until + 1)))
	}
	select {
	case <-f.w.log.Changed(f.offset):
	case <-f.run.done:
		return ctx.Err()
	case <-until:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-time.After(followPause):
		return nil
	case <-f.run.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *workload) lastExit() *Exit {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.exit == nil {
		return nil
	}
	return &Exit{Code: w.exit.Code, Signal: w.exit.Signal}
}

// logError puts what the caller did wrong into words.
func logError(name string, err error) error {
	if errors.Is(err, logs.ErrBeyondEnd) {
		return streams.Errorf(streams.CodeInvalid,
			"the log of %s does not reach that offset: it was begun anew; leave out the offset", name)
	}
	return err
}
