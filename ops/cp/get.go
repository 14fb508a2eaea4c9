package cp

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-b490fa12/swarm/streams"
)

// getting is a copy from another machine.
type getting struct {
	*copying
	remote, local string
	to            *target
	finishing     sync.WaitGroup
	places        chan struct{}
}

func (g *getting) close() {
	if g.to != nil {
		g.to.close() // what is lost of names in it is of no use
	}
}

// attempt copies what is left, over one connection.
func (g *getting) attempt(ctx context.Context, goesOn func()) (err error) {
	w, at, err := g.session(ctx, func(ctx context.Context, cl *streams.Client) (*streams.Conn, error) {
		return Read.Dial(ctx, cl, g.machine, ReadRequest{Path: g.remote, List: g.to == nil})
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, w.reset)
	defer func() {
		if stop() && err == nil {
			err = w.close()
			return
		}
		w.reset()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	goesOn()
	switch {
	case at.Entry == nil:
		err = broke("it does not say what there is")
	case g.to == nil:
		err = g.begin(w, *at)
	case at.Entry.Kind != g.entries[0].Kind:
		err = streams.Errorf(streams.CodeConflict, "%s is something else by now", g.remote)
	}
	if err != nil {
		return err
	}
	return g.fetch(ctx, w)
}

// wanted returns an error where an answer is not the one that is due.
func wanted(a answer, ok bool) error {
	switch {
	case a.Error != nil:
		return a.Error.err()
	case !ok:
		return broke("an answer that was not asked for")
	}
	return nil
}

// begin reads what there is, and finds where it goes. Nothing is made before all of it was looked at.
func (g *getting) begin(w *wire, at place) error {
	root := *at.Entry
	if root.Path != "." {
		return broke("it begins with %q", shorten(root.Path))
	}
	var all named
	if err := all.add(root); err != nil {
		return err
	}
	entries, left := []Entry{root}, Left{}
	for done := root.Kind == KindFile; !done; {
		var a answer
		if err := w.receive(&a); err != nil {
			return lost(err)
		}
		if err := wanted(a, len(a.Entries) > 0 || a.Listed != nil); err != nil {
			return err
		}
		for _, e := range a.Entries {
			if err := all.add(e); err != nil {
				return err
			}
			entries = append(entries, e)
		}
		if done = a.Listed != nil; done {
			left = *a.Listed
		}
	}
	name := remoteBase(g.remote)
	if name == "" && root.Kind == KindFile {
		return streams.Errorf(streams.CodeInvalid, "what is a file to be called that has no name of its own?")
	}
	to, err := here().to(cleaned(g.local), endsInSlash(g.local), name, root.Kind == KindDir, nil)
	if err != nil {
		return explained(err)
	}
	g.entries, g.places = entries, make(chan struct{}, mostFinishing)
	g.begins(at.Path, to.path)
	g.sum.Left = left
	if err := to.way[0].room(g.sum.Bytes - to.way[0].size(to.base)); err != nil {
		return errors.Join(err, to.close())
	}
	g.to = to
	return nil
}

// fetch gets all that is missing.
func (g *getting) fetch(ctx context.Context, w *wire) error {
	for _, i := range g.todo(KindDir) {
		made, err := g.to.makeDir(g.entries[i].Path)
		state := StateUnchanged
		if made {
			state = StateMade
		}
		if err != nil {
			err = localFault(err)
		}
		g.ended(i, state, 0, err)
		if noRoom(err) {
			return err
		}
	}
	for todo := g.todo(KindFile); len(todo) > 0; todo = g.todo(KindFile) {
		err := g.round(ctx, w, todo)
		g.finishing.Wait()
		if err != nil {
			return err
		}
	}
	for _, i := range g.unsealed() {
		g.sealed(i, g.to.seal(g.entries[i]))
	}
	err := g.to.leave(1)
	if top := g.to.way[0]; top.written.Swap(false) {
		err = errors.Join(err, top.sync())
	}
	return err
}

// wish is a file that was asked for.
type wish struct {
	n  int64
	i  int
	in *incoming
}

// round asks for files, several ahead, and takes them. Those that have changed are left for another round.
func (g *getting) round(ctx context.Context, w *wire, todo []int) (err error) {
	asking, stop := context.WithCancel(ctx)
	wishes := make(chan wish, MaxAhead)
	failed := make(chan error, 1)
	go func() {
		defer close(wishes)
		failed <- g.askAll(asking, w, todo, wishes)
	}()
	defer func() {
		stop()
		if err != nil {
			w.reset() // which ends the one who asks
		}
		for x := range wishes {
			x.in.abandon(true)
		}
	}()
	for x := range wishes {
		if err := g.one(w, x); err != nil {
			return err
		}
	}
	return <-failed
}

// askAll asks for files. One that cannot be put where it is to go is not asked for.
func (g *getting) askAll(ctx context.Context, w *wire, todo []int, wishes chan<- wish) error {
	for n, i := range todo {
		in, err := g.to.prepare(ctx, g.entry(i), func(int64) error { return nil })
		if ctx.Err() != nil {
			if err == nil {
				in.abandon(true)
			}
			return context.Cause(ctx)
		}
		if err != nil {
			err = localFault(err)
			g.ended(i, StateFailed, 0, err)
			if noRoom(err) {
				return err
			}
			continue
		}
		x := wish{int64(n) + 1, i, in}
		if err := w.send(order{N: x.n, Get: &get{in.want, in.marks()}}); err != nil {
			in.abandon(true)
			return err
		}
		select {
		case wishes <- x:
		case <-ctx.Done():
			in.abandon(true)
			return context.Cause(ctx)
		}
	}
	return nil
}

// entry is one by now.
func (c *copying) entry(i int) Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[i]
}

// localFault keeps what says that there is no room.
func localFault(err error) error {
	if noRoom(err) {
		return err
	}
	return explained(err)
}

// one takes one file. An error ends the attempt.
func (g *getting) one(w *wire, x wish) error {
	var a answer
	for {
		a = answer{}
		if err := w.receive(&a); err != nil {
			x.in.abandon(true)
			return lost(err)
		}
		if a.N != x.n || a.Checked == 0 {
			break
		}
	}
	if a.N == 0 && a.Error != nil {
		x.in.abandon(true)
		return a.Error.err()
	}
	if a.N != x.n || (a.From == nil) == (a.Error == nil) {
		x.in.abandon(true)
		return broke("an answer that was not asked for")
	}
	if a.Error != nil {
		x.in.abandon(true) // it may be there again
		g.faulty(x.i, a.Error.asked(), 0)
		return nil
	}
	from, sent := *a.From, int64(0)
	sum, fault, err := w.take(x.in, from, g.buf, func(n int64) {
		sent += n
		g.moved(x.i, from, sent)
	})
	switch {
	case err != nil:
		g.lostAfter(x.i, sent)
		return err
	case fault != nil:
		g.faulty(x.i, fault, sent)
		if noRoom(fault) {
			return fault
		}
		return nil
	}
	g.places <- struct{}{}
	g.finishing.Go(func() {
		defer func() { <-g.places }()
		state, err := x.in.commit(sum)
		if err != nil {
			err = localFault(err)
		}
		g.ended(x.i, state, sent, err)
	})
	return nil
}

// asked is what the other side says of one file.
func (f *fault) asked() error {
	if f.Now != nil {
		return &changedError{*f.Now}
	}
	return f.err()
}

// faulty gives a file up, unless it has changed and is to be copied once more.
func (c *copying) faulty(i int, err error, sent int64) {
	changed, ok := errors.AsType[*changedError](err)
	if ok && c.again(i, changed.now, sent) {
		return
	}
	if ok {
		sent = 0 // it was counted
	}
	c.ended(i, StateFailed, sent, localFault(err))
}

// lostAfter counts what was sent of a file until the connection was lost.
func (c *copying) lostAfter(i int, sent int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items[i].sent += sent
	c.sum.Sent += sent
}
