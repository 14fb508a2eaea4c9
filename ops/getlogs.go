package ops

import (
	"context"
	"errors"
	"time"

	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
)

// followPause is how long a followed log collects lines for one message.
const followPause = 50 * time.Millisecond

// Logs sends lines of a log and returns the last item. When ctx ends a followed log ends with its error.
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
		return streams.Errorf(streams.CodeInvalid, "the log of %s does not reach that offset: it was begun anew; leave out the offset", name)
	}
	return err
}
