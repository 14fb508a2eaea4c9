package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// mostCommands is how many machines run a command for one job at a time: each has its copy of the
	// input, so that none may wait for another one to end.
	mostCommands = 16 << 10
	// stopWithin is how long a machine may take to say how a command ended that was asked to stop.
	stopWithin = 8 * time.Second
	// inputQueue is how many pieces of input wait for each machine.
	inputQueue = 8
	// InputPiece is the largest piece of a Job's Input, in bytes.
	InputPiece = 32 << 10
)

// copies hands each piece of an input to all machines. What is ahead of the slowest one is bounded.
type copies struct {
	mu sync.Mutex
	to map[*inputCopy]bool // guarded by mu
}

// inputCopy is what one machine gets.
type inputCopy struct {
	pieces chan []byte   // closed at the end of the input
	gone   chan struct{} // closed when the machine takes no more
	once   sync.Once
}

func newCopies() *copies { return &copies{to: make(map[*inputCopy]bool)} }

// add returns the copy for one more machine.
func (c *copies) add() *inputCopy {
	in := &inputCopy{pieces: make(chan []byte, inputQueue), gone: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to[in] = true
	return in
}

func (in *inputCopy) leave() { in.once.Do(func() { close(in.gone) }) }

// pass hands on what comes from an input until its end, or until ctx ends. All machines are known.
func (c *copies) pass(ctx context.Context, input <-chan []byte) {
	c.mu.Lock()
	all := c.to
	c.mu.Unlock()
	defer func() {
		if ctx.Err() == nil {
			for in := range all {
				close(in.pieces)
			}
		}
	}()
	for {
		var piece []byte
		select {
		case p, more := <-input:
			if !more {
				return
			}
			piece = p
		case <-ctx.Done():
			return
		}
		for in := range all {
			select {
			case in.pieces <- piece:
			case <-in.gone:
			case <-ctx.Done():
				return
			}
		}
	}
}

// commandRun is one command on one machine, as its asker knows it.
type commandRun struct {
	job Job
	in  *inputCopy // nil: there is no input

	dealt   atomic.Int64  // bytes of output that were passed on
	taken   atomic.Int64  // bytes of input that the command took
	changed chan struct{} // has a token when either has grown
	got     [2]int64      // bytes of stdout and stderr
}

// runCommand runs the job's command on a machine, and passes on what it prints. The last item, with
// how the command ended, is returned; an error means that this is not known, or that output is missing.
func runCommand(
	ctx context.Context, c *Controller, j Job, t Target, in *inputCopy, out func(Result),
) (last jsontext.Value, exit *run.Exit, err error) {
	if in != nil {
		defer in.leave()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(j.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	began := make(chan struct{})
	defer afterStop(ctx, j.Stop, func() {
		select {
		case <-began: // then it is asked to end, and has some time to
			time.AfterFunc(stopWithin, func() { cancel(nil) })
		default:
			cancel(nil)
		}
	})()
	r, started := &commandRun{job: j, in: in, changed: make(chan struct{}, 1)}, false
	for item, err := range j.Operation.Talk(ctx, c.Node.Client, t.Peer, j.Payload, r.talk) {
		if err != nil && started && errors.Is(err, streams.ErrUnreachable) {
			return nil, nil, streams.Errorf(streams.CodeUnavailable,
				"the connection was lost while the command ran, which is ended there, too")
		}
		if err != nil {
			return nil, nil, timedOut(ctx, t, err)
		}
		started = true
		if timer.Stop() {
			close(began)
			t.Claimed = c.claimed(t)
		}
		var o run.Output
		if err = json.Unmarshal(item, &o); err == nil {
			err = o.Validate()
		}
		if err == nil {
			err = r.count(o)
		}
		if err != nil {
			return nil, nil, streams.Errorf(streams.CodeInternal, "%s broke the protocol: %v", t.Label(), err)
		}
		if o.Started != nil && j.Sizes != nil && !o.Started.TTY {
			return nil, nil, streams.Errorf(streams.CodeUnsupported, "the worker of %s is of an older version, which has no terminals", t.Label())
		}
		if o.Started != nil && o.Started.ID != "" {
			return item, nil, nil // it goes on without us
		}
		if o.Exit != nil {
			return item, o.Exit, r.complete(*o.Exit)
		}
		if len(o.Data) > 0 || o.Started != nil {
			out(Result{Target: t, Type: j.Operation.Reply, Payload: item, Feed: true})
			r.dealt.Add(int64(len(o.Data)))
			r.tell()
		}
	}
	return nil, nil, streams.Errorf(streams.CodeInternal, "%s did not say how the command ended", t.Label())
}

// count counts what has arrived.
func (r *commandRun) count(o run.Output) error {
	if len(o.Data) > 0 {
		i := 0
		if o.Stream == run.Stderr {
			i = 1
		}
		if o.Offset != r.got[i] {
			return fmt.Errorf("%s goes on at byte %d, and %d have arrived", o.Stream, o.Offset, r.got[i])
		}
		r.got[i] += int64(len(o.Data))
	}
	if o.Taken > r.taken.Load() {
		r.taken.Store(o.Taken)
		r.tell()
	}
	return nil
}

// complete returns an error when the machine has counted other bytes than have arrived: then the exit
// code is that of something that was not seen whole.
func (r *commandRun) complete(e run.Exit) error {
	if e.StdoutBytes == r.got[0] && e.StderrBytes == r.got[1] {
		return nil
	}
	return streams.Errorf(streams.CodeInternal,
		"output is missing, so that its end (%s) does not count: %d of %d bytes of stdout and %d of %d of stderr have arrived",
		e, r.got[0], e.StdoutBytes, r.got[1], e.StderrBytes)
}

func (r *commandRun) tell() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// talk sends the input, how much of the output was dealt with, the size of the terminal, and the wish to
// stop.
func (r *commandRun) talk(ctx context.Context, send func(input any) error) error {
	var (
		told, given int64
		pieces      <-chan []byte
		stop        = r.job.Stop
	)
	if r.in != nil {
		pieces = r.in.pieces
	}
	for {
		next := pieces
		if given-r.taken.Load()+InputPiece > run.InputWindow {
			next = nil // the command is slow
		}
		var in run.Input
		select {
		case <-ctx.Done():
			return nil
		case <-stop:
			stop, in.Stop = nil, true
		case size := <-r.job.Sizes:
			in.Size = &size
		case <-r.changed:
			if dealt := r.dealt.Load(); dealt-told >= run.OutputWindow/8 {
				told, in.Taken = dealt, dealt
			} else {
				continue
			}
		case piece, more := <-next:
			in.Data, in.End = piece, !more
			given += int64(len(piece))
			if !more {
				pieces = nil
			}
		}
		if err := send(in); err != nil {
			if ctx.Err() != nil || !errors.As(err, new(*streams.Error)) {
				return nil // what is wrong with the stream shows where it is read
			}
			return err
		}
	}
}

// code is the exit code of a command as a shell tells it, or nil where there is none that counts.
func code(e *run.Exit, err error) *int {
	if e == nil || err != nil {
		return nil
	}
	n := e.ShellCode()
	return &n
}
