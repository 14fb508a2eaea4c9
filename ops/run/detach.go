package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// keptFor is how long the output of a detached command is kept after its end.
const keptFor = 24 * time.Hour

// idLength is how many letters the ID of a detached command has.
const idLength = 6

// detachments are the commands that go on without their askers. They end with the service.
type detachments struct {
	dir     string // of their output; empty: there are none
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool                 // guarded by mu
	all    map[string]*detached // guarded by mu
}

// detached is one of them.
type detached struct {
	id, words string
	began     time.Time
	pid       int // guarded by the lock of all; 0 until it has begun
	spool     *spool
	stopped   chan struct{} // closed when somebody wants it to end
	stopping  sync.Once
	done      chan struct{} // closed when it has ended
	exit      Exit          // set before done is closed
	forget    *time.Timer   // set before done is closed
}

// openDetachments makes room for them, and removes what those of an earlier worker have printed. They are good
// for use also with an error.
func openDetachments(dir string) (*detachments, error) {
	d := &detachments{dir: dir, all: make(map[string]*detached)}
	d.ctx, d.end = context.WithCancel(context.Background())
	if dir == "" {
		return d, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return d, fmt.Errorf("remove what commands have printed: %w", err)
	}
	return d, nil
}

// hold makes a place for one more, where need be that of the one that ended first. It counts as running.
func (d *detachments) hold(words string) (*detached, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dir == "":
		return nil, streams.Errorf(streams.CodeUnsupported, "that worker keeps no output of commands, so that none goes on alone")
	case d.closed:
		return nil, streams.Errorf(streams.CodeUnavailable, "the worker stops")
	}
	if len(d.all) >= MaxDetached {
		oldest := d.firstEnded()
		if oldest == nil {
			return nil, streams.Errorf(streams.CodeTooMany, "%d commands go on alone there already: end one of them", len(d.all))
		}
		d.remove(oldest)
	}
	id := ""
	for id == "" || d.all[id] != nil {
		id = strings.ToLower(rand.Text()[:idLength])
	}
	s, err := newSpool(filepath.Join(d.dir, id))
	if err != nil {
		return nil, fmt.Errorf("keep the output of a command: %w", err)
	}
	one := &detached{id: id, words: words, began: time.Now(), spool: s, stopped: make(chan struct{}), done: make(chan struct{})}
	d.all[id] = one
	d.running.Add(1)
	return one, nil
}

// firstEnded is the one whose end is longest ago; d.mu is held.
func (d *detachments) firstEnded() (first *detached) {
	for _, one := range d.all {
		select {
		case <-one.done:
			if first == nil || one.ended().Before(first.ended()) {
				first = one
			}
		default:
		}
	}
	return first
}

func (o *detached) ended() time.Time {
	return o.began.Add(time.Duration(o.exit.Seconds * float64(time.Second)))
}

// remove forgets one with its output; d.mu is held. One that runs is not.
func (d *detachments) remove(one *detached) {
	if one.forget != nil {
		one.forget.Stop()
	}
	delete(d.all, one.id)
	_ = os.RemoveAll(one.spool.dir) // a worker begins with none
}

// drop forgets one, if it is there still.
func (d *detachments) drop(one *detached) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[one.id] == one {
		d.remove(one)
	}
}

// find returns one by its ID, and its first process.
func (d *detachments) find(id string) (one *detached, pid int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one := d.all[id]; one != nil && one.pid > 0 {
		return one, one.pid, nil
	}
	return nil, 0, streams.Errorf(streams.CodeNotFound, "there is no detached command %q there: they end with the worker, and are kept for %v after their end",
		id, keptFor)
}

// list returns all, the oldest first; it is not nil.
func (d *detachments) list() []Detached {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Detached, 0, len(d.all))
	for _, one := range d.all {
		if one.pid == 0 { // it begins
			continue
		}
		l := Detached{ID: one.id, Command: one.words, Since: one.began.UnixMilli(), PID: one.pid, Bytes: one.spool.bytes()}
		select {
		case <-one.done:
			l.Exit = &one.exit
		default:
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Detached) int { return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(a.ID, b.ID)) })
	return all
}

// close ends all of them, and waits for that.
func (d *detachments) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end()
	d.running.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.all {
		d.remove(one)
	}
}

// Close ends the commands that go on without their askers, with all that they have started.
func (s *Service) Close() error {
	s.detached.close()
	return nil
}

// detach starts a command that goes on without its asker.
func (s *Service) detach(by peer.ID, req Request) (Output, error) {
	x := session{
		timeout: req.Timeout(), start: func() (*command, error) { return s.start(req) },
		allowed: func() (int, error) {
			most, err := s.cfg.Allowed()
			if err == nil && s.cfg.Still != nil {
				err = s.cfg.Still(by)
			}
			return most, err
		},
	}
	if err := s.take(x.allowed); err != nil {
		return Output{}, err
	}
	one, err := s.detached.hold(req.Summary())
	if err != nil {
		s.release()
		return Output{}, err
	}
	c, err := x.start()
	if err != nil {
		s.release()
		s.detached.drop(one)
		s.detached.running.Done()
		return Output{}, err
	}
	pid := c.work.PID()
	s.detached.mu.Lock()
	one.pid = pid
	s.detached.mu.Unlock()
	s.cfg.Logger.Info("command started", "peer", by, "pid", pid, "id", one.id)
	go func() {
		defer s.detached.running.Done()
		s.keep(one, c, x)
		if s.cfg.Ended != nil {
			s.cfg.Ended(by, req, one.exit)
		}
		s.cfg.Logger.Info("command ended", "peer", by, "pid", pid, "id", one.id, "end", one.exit.String(), "seconds", one.exit.Seconds)
		s.release()
		close(one.done)
	}()
	return Output{Started: &Started{PID: pid, ID: one.id}}, nil
}

// keep keeps what a command prints, until it has ended.
func (s *Service) keep(one *detached, c *command, x session) {
	inputs, written, over := make(chan Input), make(chan struct{}, 1), make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		stopped := one.stopped
		for {
			var in Input
			select {
			case <-written:
				in.Taken = one.spool.bytes()
			case <-stopped:
				stopped, in.Stop = nil, true
			case <-over:
				return
			}
			select {
			case inputs <- in:
			case <-over:
				return
			}
		}
	})
	exit, err := s.attend(s.detached.ctx, c, x, inputs, func(o Output) error {
		if len(o.Data) > 0 {
			one.spool.write(o.Stream, o.Data)
			select {
			case written <- struct{}{}:
			default:
			}
		}
		return nil
	})
	close(over)
	telling.Wait()
	if err != nil { // the worker stops, or the owner forbids it
		s.cfg.Logger.Info("command was ended", "id", one.id, "err", err)
	}
	exit.Seconds = time.Since(one.began).Seconds()
	one.spool.end()
	one.exit = exit
	one.forget = time.AfterFunc(keptFor, func() { s.detached.drop(one) })
}

// AttachHandler returns the handler of [Attach]; nil for a nil service, on the side that only asks.
func AttachHandler(s *Service) func(context.Context, streams.Peer, AttachRequest, func(Output) error) (Output, error) {
	if s == nil {
		return nil
	}
	return s.attach
}

// attach shows what a detached command prints.
func (s *Service) attach(ctx context.Context, _ streams.Peer, req AttachRequest, send func(Output) error) (Output, error) {
	if _, err := s.cfg.Allowed(); err != nil {
		return Output{}, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	if req.ID == "" {
		return Output{Detached: s.detached.list()}, nil
	}
	one, pid, err := s.detached.find(req.ID)
	if err != nil {
		return Output{}, err
	}
	r, err := one.spool.reader(req.Offset)
	if err != nil {
		return Output{}, streams.Errorf(streams.CodeInvalid, "%w", err)
	}
	defer r.close()
	if req.Stop {
		one.stopping.Do(func() { close(one.stopped) })
	}
	if err := send(Output{Started: &Started{PID: pid, ID: one.id}, Next: req.Offset}); err != nil {
		return Output{}, err
	}
	for {
		o, err := r.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = send(o)
		}
		if err != nil {
			return Output{}, err
		}
	}
	select {
	case <-one.done:
		return Output{Exit: &one.exit, Next: one.spool.bytes()}, nil
	case <-ctx.Done():
		return Output{}, context.Cause(ctx)
	}
}
