package control

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// talks are the jobs that inputs may come for, by their names.
type talks struct {
	mu   sync.Mutex
	open map[string]*talk // guarded by mu
}

// talk is where the inputs of one job go.
type talk struct {
	ctx   context.Context // ends with the job
	input chan []byte
	stop  chan struct{}
	sizes chan run.Size
	turn  sync.Mutex // the pieces come one after the other
	ended bool       // guarded by turn
	once  sync.Once
}

// begin gives a job the inputs that come under its name, until end.
func (t *talks) begin(ctx context.Context, req execRequest, j *agent.Job) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	in := &talk{ctx: ctx, stop: make(chan struct{}), ended: !req.Input}
	if req.Input {
		in.input = make(chan []byte)
		j.Input = in.input
	}
	if req.Sizes {
		in.sizes = make(chan run.Size)
		j.Sizes = in.sizes
	}
	j.Stop = in.stop
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[string]*talk)
	}
	t.open[req.Talk] = in
	return func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, req.Talk)
	}
}

// errNoTalk means that the job has ended, or never was.
var errNoTalk = errors.New("there is no such job")

// take passes an input on. The answer comes when it was taken.
func (t *talks) take(ctx context.Context, r inputRequest, _ func(struct{}) error) error {
	t.mu.Lock()
	in := t.open[r.Talk]
	t.mu.Unlock()
	if in == nil {
		return errNoTalk
	}
	if r.Stop {
		in.once.Do(func() { close(in.stop) })
		return nil
	}
	if r.Size != nil && in.sizes == nil {
		return nil // the job has no terminal
	}
	if r.Size != nil {
		select {
		case in.sizes <- *r.Size:
			return nil
		case <-in.ctx.Done():
			return errNoTalk
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	if in.ended {
		return nil
	}
	if len(r.Data) > 0 {
		select {
		case in.input <- r.Data:
		case <-in.ctx.Done():
			return errNoTalk
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.End {
		in.ended = true
		close(in.input)
	}
	return nil
}

// talking sends the inputs of a job to the controller that does it.
type talking struct {
	name  string
	input <-chan []byte
	stop  <-chan struct{}
	sizes <-chan run.Size

	once    sync.Once
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// talk prepares for the inputs of the job, if it has any.
func (x *execution) talk(req *execRequest) *talking {
	t := &talking{input: x.job.Input, stop: x.job.Stop, sizes: x.job.Sizes}
	if t.input != nil || t.stop != nil || t.sizes != nil {
		t.name = rand.Text()
		req.Talk, req.Input, req.Sizes = t.name, t.input != nil, t.sizes != nil
	}
	return t
}

// begin begins to send, once.
func (t *talking) begin(ctx context.Context, r *Remote) {
	t.once.Do(func() {
		ctx, t.cancel = context.WithCancel(ctx)
		if t.input != nil {
			t.running.Go(func() { t.sendInput(ctx, r) })
		}
		if t.sizes != nil {
			t.running.Go(func() { t.sendSizes(ctx, r) })
		}
		if t.stop != nil {
			t.running.Go(func() {
				select {
				case <-t.stop:
					t.send(ctx, r, inputRequest{Stop: true})
				case <-ctx.Done():
				}
			})
		}
	})
}

// end ends the sending.
func (t *talking) end() {
	t.once.Do(func() {})
	if t.cancel != nil {
		t.cancel()
	}
	t.running.Wait()
}

func (t *talking) sendInput(ctx context.Context, r *Remote) {
	for {
		select {
		case piece, more := <-t.input:
			if t.send(ctx, r, inputRequest{Data: piece, End: !more}) != nil || !more {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *talking) sendSizes(ctx context.Context, r *Remote) {
	for {
		select {
		case size := <-t.sizes:
			if t.send(ctx, r, inputRequest{Size: &size}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// send sends one input, and waits until it was taken. What is wrong shows in the answer to the job.
func (t *talking) send(ctx context.Context, r *Remote, req inputRequest) error {
	req.Talk = t.name
	lines, err := inputVerb.ask(ctx, r, req)
	if err != nil {
		return err
	}
	for _, err := range lines {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
