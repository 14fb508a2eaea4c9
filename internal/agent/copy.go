package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/ops/cp"
	"github.com/seed-b490fa12/swarm/streams"
)

// Copy is a copy of a file or a tree between this machine and another one.
type Copy struct {
	Machine string        `json:"machine"` // as in Selection.Names
	Remote  string        `json:"remote"`  // the path there
	Local   string        `json:"local"`   // the path here, an absolute one
	Sends   bool          `json:"sends"`   // to the machine, not from it
	Timeout time.Duration `json:"timeoutMs"`
}

// What a [CopyEvent] is about, beside EventCut and EventBack.
const (
	EventBegin    ResultEvent = "begin"    // what there is to copy
	EventFile     ResultEvent = "file"     // what became of one file
	EventProgress ResultEvent = "progress" // how many bytes are there
	EventCopied   ResultEvent = "copied"   // the last event, with Err where it broke off
)

// CopyEvent is what becomes of a [Copy].
type CopyEvent struct {
	Event  ResultEvent   `json:"event"`
	Target Target        `json:"target,omitzero"`
	Begin  *cp.Beginning `json:"begin,omitzero"`
	File   *cp.File      `json:"file,omitzero"`
	Done   int64         `json:"done,omitzero"`
	Goal   int64         `json:"goal,omitzero"`
	Total  *cp.Total     `json:"total,omitzero"`
	Err    error         `json:"error,omitzero"`
	Why    string        `json:"why,omitzero"`
	Away   time.Duration `json:"awayMs,omitzero"`
}

// progressEvery is how often the progress of a copy is told.
const progressEvery = 100 * time.Millisecond

// copyBetween is [Controller.Copy].
func copyBetween(ctx context.Context, c *Controller, y Copy, emit func(CopyEvent) error) error {
	s := Selection{Names: []string{y.Machine}}
	targets, err := c.Resolve(ctx, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x := &copyRun{Controller: c, Copy: y, t: targets[0], emit: emit, gone: cancel}
	total, err := x.run(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		c.save(x.t.Peer)
	}
	return x.tell(CopyEvent{Event: EventCopied, Total: &total, Err: err})
}

// copyRun is a Copy that is being done.
type copyRun struct {
	*Controller
	Copy
	t     Target
	gone  func() // ends it, as nobody hears of it
	moved atomic.Int64

	mu   sync.Mutex
	emit func(CopyEvent) error // guarded by mu
	told time.Time             // guarded by mu: when progress was
}

// tell passes an event on.
func (x *copyRun) tell(e CopyEvent) error {
	if e.Target = x.t; e.Err != nil {
		e.Err = x.brief(x.t, e.Err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.emit(e)
	if err != nil {
		x.gone()
	}
	return err
}

// run copies.
func (x *copyRun) run(ctx context.Context, s Selection) (total cp.Total, err error) {
	wait, enough := context.WithTimeout(ctx, x.Timeout)
	defer enough()
	if err := x.confirmed(wait, s, x.t, x.Timeout); err != nil {
		return total, err
	}
	if twin, ok := x.Node.Twin(x.t.Peer); ok {
		return total, twins.Error(twin)
	}
	if _, err := x.Node.Greeting(wait, x.t.Peer); err != nil {
		return total, timedOut(wait, x.t, err)
	}
	x.Node.AwaitDirect(wait, x.t.Peer)
	if wait.Err() != nil && ctx.Err() == nil && x.Node.BestConn(x.t.Peer) == nil {
		return total, streams.Errorf(streams.CodeTimeout, "no answer from %s in time", x.t.Label())
	}
	better, release := x.bulk.to(ctx, x.Node, x.t.Peer, bulkFrom)
	defer release()
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	stalls := x.stallWatch(x.t, better, x.moved.Load)
	watch.Go(func() { stalls.run(watching) })
	defer watch.Wait()
	defer stop()
	copying := cp.Copying{
		Resumption: resumption(x.t, func(r Result) { x.tell(CopyEvent{Event: r.Event, Why: r.Why, Away: r.Away}) }),
		Within:     x.Timeout,
		Via: func() *streams.Client {
			if better == nil || better.Network().Connectedness(x.t.Peer) != network.Connected {
				return nil
			}
			return better.Client
		},
		Begin: func(b cp.Beginning) {
			x.t.Claimed = x.claimed(x.t)
			x.tell(CopyEvent{Event: EventBegin, Begin: &b})
		},
		Progress: x.progress,
		Copied:   func(f cp.File) { x.tell(CopyEvent{Event: EventFile, File: &f}) },
	}
	do := copying.Get
	there, here := x.Remote, x.Local
	if x.Sends {
		do, there, here = copying.Put, x.Local, x.Remote
	}
	return do(ctx, x.Node.Client, x.t.Peer, there, here)
}

// progress tells now and then how far it has come.
func (x *copyRun) progress(done, goal int64) {
	x.moved.Add(1)
	x.mu.Lock()
	late := time.Since(x.told) >= progressEvery
	if late {
		x.told = time.Now()
	}
	x.mu.Unlock()
	if late {
		x.tell(CopyEvent{Event: EventProgress, Done: done, Goal: goal})
	}
}

// CopiedBefore is what a copy has done that another controller goes on with.
type CopiedBefore struct {
	begin *cp.Beginning
	files map[string]cp.File // those that were copied
}

// Add takes an event, corrects it by what came before, and reports whether it says something new.
func (b *CopiedBefore) Add(e *CopyEvent) bool {
	switch e.Event {
	case EventBegin:
		b.begin = e.Begin
	case EventFile:
		if _, told := b.files[e.File.Path]; told {
			return false
		}
		if e.File.Err == nil && e.File.State == cp.StateCopied {
			if b.files == nil {
				b.files = make(map[string]cp.File)
			}
			b.files[e.File.Path] = *e.File
		}
	case EventCopied:
		if e.Total == nil || b.begin == nil {
			return true
		}
		e.Total.Unchanged -= len(b.files) - e.Total.Copied
		e.Total.Copied, e.Total.Sent = len(b.files), 0
		for _, f := range b.files {
			e.Total.Sent += f.Sent
		}
	}
	return true
}

// Rest is what is left of a copy: that goes where the first one has gone, also where it would go into it by
// now.
func (b *CopiedBefore) Rest(y Copy) Copy {
	if b.begin == nil {
		return y
	}
	contents := ""
	if b.begin.Dir {
		contents = "/."
	}
	if y.Sends {
		y.Remote = b.begin.To
		y.Local += contents
	} else {
		y.Local = b.begin.To
		y.Remote += contents
	}
	return y
}
