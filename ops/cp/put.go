package cp

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// putting is a copy to another machine.
type putting struct {
	*copying
	local, remote string
	name          string // of the copy, where it goes into a directory
	source        *source
	goes          string // where to, as the machine says
}

// look finds what there is to copy.
func (p *putting) look(ctx context.Context) (err error) {
	local := cleaned(p.local)
	if p.source, err = here().from(local, nil); err != nil {
		return explained(err)
	}
	root := p.source.entry
	if endsInSlash(p.local) && root.Kind == KindFile {
		return errors.Join(streams.Errorf(streams.CodeNotFound, "%s is no directory", local), p.source.close())
	}
	if p.name = localBase(p.local); p.name != "" {
		if err := checkElement(p.name); err != nil {
			return errors.Join(streams.Errorf(streams.CodeInvalid, "%w", err), p.source.close())
		}
	}
	p.entries = []Entry{root}
	if root.Kind == KindFile {
		return nil
	}
	var all named
	if err = all.add(root); err == nil {
		p.sum.Left, err = p.source.list(ctx, func(e Entry) error {
			p.entries = append(p.entries, e)
			return all.add(e)
		})
	}
	if err != nil {
		return errors.Join(err, p.source.close())
	}
	return nil
}

// attempt copies what is left, over one connection.
func (p *putting) attempt(ctx context.Context, goesOn func()) (err error) {
	var bytes int64
	for _, e := range p.entries {
		bytes += e.Size
	}
	path := p.remote
	if p.goes != "" {
		path = p.goes // also where the first attempt has made it a directory to go into
	}
	w, at, err := p.session(ctx, func(ctx context.Context, cl *streams.Client) (*streams.Conn, error) {
		return Write.Dial(ctx, cl, p.machine, WriteRequest{
			Path: path, Name: p.into(), Dir: p.entries[0].Kind == KindDir, Bytes: bytes, Entries: int64(len(p.entries)),
		})
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, w.reset)
	defer func() {
		if stop() && err == nil {
			err = w.finish()
			return
		}
		w.reset()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	goesOn()
	if p.goes == "" {
		p.goes = at.Path
		p.begins(p.source.path, p.goes)
	}
	x := &delivery{
		putting: p, w: w, out: newOutgoing(p.source, w), waits: make(map[int64]*await), freed: make(chan struct{}, 1),
		ready: make(chan announced, MaxAhead), deaf: make(chan struct{}),
	}
	return x.run(ctx)
}

// into is what the copy is called in a directory. A copy that goes on has its own path.
func (p *putting) into() string {
	if p.goes != "" && p.entries[0].Kind == KindDir {
		return "" // its contents
	}
	return p.name
}

// finish ends a session after which all is on the other machine's disk.
func (w *wire) finish() error {
	if err := w.conn.CloseWrite(); err != nil {
		w.reset()
		return lost(err)
	}
	var a answer
	err := w.receive(&a)
	switch {
	case err == io.EOF:
		return w.close()
	case err == nil && a.Error != nil:
		err = a.Error.err()
	case err == nil:
		err = broke("an answer that was not asked for")
	}
	w.reset()
	return lost(err)
}

// delivery is one session of a copy to another machine: one goroutine orders and sends, one hears.
type delivery struct {
	*putting
	w     *wire
	out   *outgoing
	ready chan announced // files that the machine waits for
	freed chan struct{}  // has a token when an order was answered
	deaf  chan struct{}  // closed when nobody hears any more

	waiting sync.Mutex       // guards what follows
	n       int64            // of the last order
	waits   map[int64]*await // the orders that were not answered
	why     error            // of deaf
}

// await is an order that was not answered.
type await struct {
	i       int  // the entry
	dropped bool // what comes of it is known on this side
}

// announced is a file that the machine waits for, and what it has kept of it.
type announced struct {
	n     int64
	i     int
	marks []Mark
}

// run orders all that is missing.
func (d *delivery) run(ctx context.Context) (err error) {
	var hearing sync.WaitGroup
	hearing.Go(d.hear)
	defer func() {
		if err != nil {
			d.w.reset()
		}
		d.hearUntil(time.Now())
		hearing.Wait()
		d.hearUntil(time.Time{})
	}()
	for _, kind := range []Kind{KindDir, KindFile} {
		for todo := d.todo(kind); len(todo) > 0; todo = d.todo(kind) {
			if err := d.orders(ctx, todo, d.asks); err != nil {
				return err
			}
		}
	}
	return d.orders(ctx, d.unsealed(), func(i int) order {
		e := d.entry(i)
		return order{Seal: &e}
	})
}

func (d *delivery) hearUntil(t time.Time) { d.w.conn.SetReadDeadline(t) }

// asks is the order for an entry that is missing.
func (d *delivery) asks(i int) order {
	e := d.entry(i)
	if e.Kind == KindDir {
		return order{Dir: &e}
	}
	return order{Put: &e}
}

// orders orders for each of some entries what is said, many ahead of their answers, and sends the files
// that the machine waits for. It returns when all were answered.
func (d *delivery) orders(ctx context.Context, todo []int, what func(i int) order) error {
	for {
		select {
		case a := <-d.ready:
			if err := d.deliver(ctx, a); err != nil {
				return err
			}
			continue
		default:
		}
		open := d.open()
		if len(todo) > 0 && open < MaxAhead {
			if err := d.order(todo[0], what(todo[0])); err != nil {
				return d.told(err)
			}
			todo = todo[1:]
			continue
		}
		if len(todo) == 0 && open == 0 {
			return nil
		}
		select {
		case a := <-d.ready:
			if err := d.deliver(ctx, a); err != nil {
				return err
			}
		case <-d.freed:
		case <-d.deaf:
			return d.told(nil)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open is how many orders were not answered.
func (d *delivery) open() int {
	d.waiting.Lock()
	defer d.waiting.Unlock()
	return len(d.waits)
}

// order sends one.
func (d *delivery) order(i int, o order) error {
	d.waiting.Lock()
	d.n++
	o.N = d.n
	d.waits[o.N] = &await{i: i}
	d.waiting.Unlock()
	return d.w.send(o)
}

// lastWords is how long the machine has to say why it takes no more.
const lastWords = 2 * time.Second

// told is why the machine takes no more, or else err.
func (d *delivery) told(err error) error {
	d.hearUntil(time.Now().Add(lastWords))
	<-d.deaf
	d.waiting.Lock()
	defer d.waiting.Unlock()
	if err == nil || !streams.Interrupted(d.why) {
		return d.why
	}
	return err
}

// drop marks an order whose outcome this side knows, before the machine does.
func (d *delivery) drop(a announced, err error) {
	d.waiting.Lock()
	if w := d.waits[a.n]; w != nil {
		w.dropped = true
	}
	d.waiting.Unlock()
	d.faulty(a.i, err, 0)
}

// deliver sends a file, or what is missing of it.
func (d *delivery) deliver(ctx context.Context, a announced) error {
	f, err := d.out.begin(ctx, d.entry(a.i), a.marks, func(int64) error { return nil })
	if ctx.Err() != nil {
		if err == nil {
			f.close()
		}
		return context.Cause(ctx)
	}
	o := order{N: a.n, Send: &send{}}
	if err != nil {
		d.drop(a, err)
		o.Send.Drop = true
	} else {
		defer f.close()
		o.Send.From = f.from
	}
	if fault := d.w.send(o); fault != nil {
		return d.told(fault)
	}
	if err != nil {
		return nil
	}
	sent := int64(0)
	d.out.told = func(n int64) {
		sent += n
		d.moved(a.i, f.from, sent)
	}
	d.out.failing = func(fault error) { d.drop(a, fault) }
	_, err = f.send(ctx)
	d.lostAfter(a.i, sent)
	if err != nil {
		return d.told(err)
	}
	return nil
}

// hear takes the answers until the end of the session.
func (d *delivery) hear() {
	defer close(d.deaf)
	for {
		var a answer
		err := d.w.receive(&a)
		if err == nil {
			err = d.heard(a)
		}
		if err != nil {
			d.waiting.Lock()
			d.why = lost(err)
			d.waiting.Unlock()
			return
		}
	}
}

// heard takes an answer.
func (d *delivery) heard(a answer) error {
	d.waiting.Lock()
	w := d.waits[a.N]
	d.waiting.Unlock()
	switch {
	case a.N == 0 && a.Error != nil:
		return a.Error.err()
	case w == nil:
		return broke("an answer that was not asked for")
	case a.Checked > 0:
		return nil
	case a.Kept != nil:
		e := d.entry(w.i)
		if err := checkMarks(a.Kept.Marks, e.Size); err != nil || e.Kind != KindFile {
			return broke("what is kept of a file makes no sense")
		}
		select {
		case d.ready <- announced{a.N, w.i, a.Kept.Marks}:
			return nil
		default:
			return broke("it waits for a file twice")
		}
	case a.Done == nil && a.Error == nil:
		return broke("an answer that was not asked for")
	}
	d.waiting.Lock()
	dropped := w.dropped
	d.waiting.Unlock()
	if !dropped {
		d.answered(w.i, a)
	}
	d.waiting.Lock()
	delete(d.waits, a.N)
	d.waiting.Unlock()
	select {
	case d.freed <- struct{}{}:
	default:
	}
	return nil
}

// answered takes what became of an order.
func (d *delivery) answered(i int, a answer) {
	var err error
	state := StateFailed
	if a.Error != nil {
		err = a.Error.err()
	} else {
		state = a.Done.State
	}
	d.mu.Lock()
	over, isDir := d.items[i].over, d.entries[i].Kind == KindDir
	d.mu.Unlock()
	switch {
	case isDir && over:
		d.sealed(i, err)
		return
	case over:
		return
	case err != nil:
	case isDir && state != StateMade, !isDir && state == StateUnchanged:
		state = StateUnchanged
	case !isDir:
		state = StateCopied
	}
	d.ended(i, state, 0, err)
}
