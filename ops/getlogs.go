package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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
	o := FromFeed(GetLogs, func(ctx context.Context, p streams.Peer, req LogsRequest, send func(Logs) error) (Logs, error) {
		if req.Agent {
			a, ok := w.(agentLogger)
			if !ok {
				return Logs{}, errNoAgentLog
			}
			return a.AgentLogs(ctx, p.ID, req, send)
		}
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
	Name   string `json:"name,omitzero"`   // may be empty when there is one workload only, or only one runs
	Lines  int    `json:"lines,omitzero"`  // 0 for DefaultLines, at most logs.MaxLines
	Since  int64  `json:"since,omitzero"`  // Unix ms, inclusive
	Until  int64  `json:"until,omitzero"`  // Unix ms, inclusive
	Offset *int64 `json:"offset,omitzero"` // go on from here: the next of an earlier answer
	Follow bool   `json:"follow,omitzero"`
	// Run, with Follow and Offset, is the run that was followed up to there: see Logs.Restarted.
	Run string `json:"run,omitzero"`
	// Agent asks for what the agent itself has logged, instead of a workload. It needs a right of its
	// own, [VerbAgentLogs].
	Agent bool `json:"agent,omitzero"`
}

// After returns the request that goes on where an item ends.
func (r LogsRequest) After(l Logs) LogsRequest {
	r.Lines, r.Since, r.Offset, r.Run = 0, 0, &l.Next, cmp.Or(l.Run, r.Run)
	return r
}

// Most returns how many lines the answer has at most. A followed log does not end.
func (r LogsRequest) Most() (lines int, ends bool) { return cmp.Or(r.Lines, DefaultLines), !r.Follow }

// Summary says what is asked.
func (r LogsRequest) Summary() string {
	if r.Agent {
		return fmt.Sprintf("agent lines=%d follow=%v", r.Lines, r.Follow)
	}
	return fmt.Sprintf("name=%s lines=%d follow=%v", r.Name, r.Lines, r.Follow)
}

// Validate checks the bounds.
func (r LogsRequest) Validate() error {
	if r.Name != "" {
		if err := miner.ValidName(r.Name); err != nil {
			return err
		}
	}
	if r.Agent && (r.Name != "" || r.Run != "") {
		return errors.New("the log of the agent is of no workload: leave out its name and run")
	}
	if r.Lines < 0 || r.Lines > logs.MaxLines {
		return fmt.Errorf("lines %d: need 0 to %d", r.Lines, logs.MaxLines)
	}
	if r.Since < 0 || r.Until < 0 || r.Until > 0 && r.Until < r.Since {
		return fmt.Errorf("since %d and until %d: need Unix ms, in this order", r.Since, r.Until)
	}
	if len(r.Run) > maxRunID {
		return fmt.Errorf("run has %d characters: at most %d", len(r.Run), maxRunID)
	}
	if r.Offset != nil && (*r.Offset < 0 || r.Since > 0) {
		return errors.New("offset must not be negative, and excludes since")
	}
	return nil
}

const maxRunID = 64

// Logs is a stretch of a log. It takes at most 512 KiB on the wire.
type Logs struct {
	Name    string      `json:"name"`
	Lines   []logs.Line `json:"lines"`
	Next    int64       `json:"next"`          // the offset to go on from
	HasMore bool        `json:"hasMore"`       // lines that match were left out: ask with a larger count, or from next
	Gap     *logs.Gap   `json:"gap,omitzero"`  // lines before the first one here were dropped unread
	Exit    *Exit       `json:"exit,omitzero"` // how the workload ended, in the last item of a followed log
	// Run is the run that is followed, from the start of the workload to its stop; empty when none
	// is.
	Run string `json:"run,omitzero"`
	// Restarted says that the run which the request went on with is over: the lines from this offset
	// on are of another one, which is followed now.
	Restarted *int64 `json:"restarted,omitzero"`
	// Waiting says that the run which the request went on with ended with the worker. Lines come
	// again when the workload is started again.
	Waiting bool `json:"waiting,omitzero"`
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

// Logs sends lines of a log and returns the last item. The first item of a followed log is sent
// also when it is empty, as it says where the log stands. When ctx ends a followed log ends with
// its error.
func (s *Service) Logs(ctx context.Context, req LogsRequest, send func(Logs) error) (Logs, error) {
	w, err := s.findOnly(req.Name)
	if err != nil {
		return Logs{}, err
	}
	return follow(w, req).send(ctx, send)
}

// send sends one item after the other and returns the last one.
func (f *follower) send(ctx context.Context, send func(Logs) error) (Logs, error) {
	for first := true; ; first = false {
		item, err := f.next()
		if err != nil || f.over {
			return item, err
		}
		if first || len(item.Lines) > 0 || item.Gap != nil || item.Restarted != nil {
			if err := send(item); err != nil {
				return Logs{}, err
			}
		}
		if err := f.wait(ctx); err != nil {
			return Logs{}, err
		}
	}
}

// agentLogger is a [Worker] that keeps what its agent logs.
type agentLogger interface {
	AgentLogs(ctx context.Context, by peer.ID, req LogsRequest, send func(Logs) error) (Logs, error)
}

var errNoAgentLog = streams.Errorf(streams.CodeNotFound, "the agent here keeps no log of its own")

// AgentLog is what an agent logs, and who may read it.
type AgentLog struct {
	Log *logs.Log
	// May returns why a peer does not have a right; nil lets nobody read.
	May func(p peer.ID, verb streams.Verb) error
}

// AgentLogs sends lines of the agent's own log, as [Service.Logs] does of a workload.
func (s *Service) AgentLogs(ctx context.Context, by peer.ID, req LogsRequest, send func(Logs) error) (Logs, error) {
	a := s.cfg.Agent
	switch {
	case a.Log == nil:
		return Logs{}, errNoAgentLog
	case a.May == nil:
		return Logs{}, streams.Errorf(streams.CodeForbidden, "nobody may read the agent's own log here")
	}
	if err := a.May(by, VerbAgentLogs); err != nil {
		return Logs{}, streams.Errorf(streams.CodeForbidden, "%w", err)
	}
	return a.send(ctx, req, send)
}

// send sends lines as they come. The agent writes them as long as this runs.
func (a AgentLog) send(ctx context.Context, req LogsRequest, send func(Logs) error) (Logs, error) {
	f := &follower{w: &workload{name: "agent", log: a.Log}, run: &run{done: make(chan struct{})}, req: req}
	return f.send(ctx, send)
}

// ReadAgentLog returns lines of a log that no process has to answer for.
func ReadAgentLog(l *logs.Log, req LogsRequest) (Logs, error) {
	req.Follow = false
	return AgentLog{Log: l}.send(context.Background(), req, nil)
}

// findOnly finds the workload by name, or the only one there is, or the only one that runs.
func (s *Service) findOnly(name string) (*workload, error) {
	if name != "" {
		return s.find(name)
	}
	up := running(s)
	if len(up) == 1 {
		return up[0], nil
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

	id      string          // of the run that the lines at offset are of
	other   bool            // run is another one than the request goes on with
	started <-chan struct{} // closed when the next run begins, which is followed; nil where it is not
}

// follow returns the follower for a request. One that goes on with a run may find that this is over
// by now: its rest comes, and then the run that there is. If the agent is another one, too, nobody
// knows how that run ended, and the next one is waited for.
func follow(w *workload, req LogsRequest) *follower {
	now, last, next := w.runs()
	f := &follower{w: w, run: now, req: req}
	switch {
	case !req.Follow || req.Run == "" || req.Offset == nil:
		if now != nil {
			f.id = now.id
		}
	case now != nil:
		f.id, f.other = req.Run, now.id != req.Run
	case last != req.Run:
		f.started = next
	default:
		f.id = last
	}
	return f
}

// next reads what there is.
func (f *follower) next() (Logs, error) {
	f.restarted()
	// Looked at before reading, so that the last words are not missed.
	ended := f.started == nil && (f.run == nil || isClosed(f.run.done))
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
	if f.other && f.offset >= f.run.from {
		f.id, f.other, item.Restarted = f.run.id, false, &f.run.from
	}
	item.Run, item.Waiting = f.id, f.started != nil
	f.over = !f.req.Follow || !more && (ended || late || page.Over)
	if f.over && f.req.Follow && ended {
		item.Exit = f.w.lastExit()
	}
	return item, nil
}

// restarted goes over to the run that was waited for.
func (f *follower) restarted() {
	if f.started == nil || !isClosed(f.started) {
		return
	}
	now, _, next := f.w.runs()
	if f.run, f.started = now, nil; now == nil { // it is over again
		f.started = next
		return
	}
	f.other = true
}

// from returns the offset that the request goes on from. A power cut may have taken the end of the
// log with it, so that another run begins before it.
func (f *follower) from() int64 {
	switch {
	case f.other:
		return min(*f.req.Offset, f.run.from)
	case f.started != nil:
		return min(*f.req.Offset, f.w.log.End())
	}
	return *f.req.Offset
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
		page, err = f.w.log.Read(f.from(), q)
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
	if f.more || f.run == nil && f.started == nil {
		return ctx.Err()
	}
	var until <-chan time.Time
	if f.req.Until > 0 {
		until = time.After(time.Until(time.UnixMilli(f.req.Until + 1)))
	}
	var done <-chan struct{}
	if f.run != nil {
		done = f.run.done
	}
	select {
	case <-f.w.log.Changed(f.offset):
	case <-done:
		return ctx.Err()
	case <-f.started:
		return ctx.Err()
	case <-until:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-time.After(followPause):
		return nil
	case <-done:
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
