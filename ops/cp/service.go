// Package cp copies files and directories between this machine and another one, in either direction, below
// directories that the owner of that one has listed.
//
// A worker serves [Read] and [Write] with a [Service]. On the other side a [Copying] copies:
//
//	sum, err := cp.Copying{}.Get(ctx, client, machine, "/srv/logs/app.log", "./logs/")
//	sum, err = cp.Copying{}.Put(ctx, client, machine, "./site", "/srv/www")
//
// The two ends distrust each other. Each makes only names that it has asked for or was told by whom it asked,
// below a directory that it holds open, and follows no link there; of modes it takes permission bits only.
// A file has its name once its size and hash are what the other side says; until then it is called
// .NAME.swarm-part, and a later copy goes on with that as far as the hashes of both sides agree.
package cp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/quota"
)

const (
	// Most is how many sessions a machine has at a time, and MostPerPeer how many of these with one peer.
	Most        = 16
	MostPerPeer = 4
	// askAgain is how often the owner's list is looked at while a session lasts.
	askAgain = time.Second
)

// Config says what may be copied.
type Config struct {
	// Place returns the directory that the owner has listed which a path is in, and the path from there;
	// or why the owner does not allow it. It is asked before each session, and every second while one
	// lasts. Nil allows none.
	Place func(path string) (dir, rel string, err error)
	// Closed are directories that are not copied from or to, whatever is listed.
	Closed []string
	// Ended is told of each session that has ended. Nil is allowed.
	Ended func(by peer.ID, s Session)
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Session is one that has ended.
type Session struct {
	// Path is that of the copy on this machine, and To is set where it was copied to.
	Path string
	To   bool
	// Files were copied, or found unchanged, and Failed were not; Bytes are those of contents that went over
	// the wire.
	Files, Failed int64
	Bytes         int64
	Time          time.Duration
	// Err is why it ended before its end; nil where the asker was done.
	Err error
}

// String says what it was, in a line.
func (s Session) String() string {
	how, where := "done", "from"
	if s.Err != nil {
		how = "broken off"
	}
	if s.To {
		where = "to"
	}
	return fmt.Sprintf("%s after %.1f s, %d files, %d failed, %d bytes: %s path=%q", how, s.Time.Seconds(), s.Files, s.Failed, s.Bytes, where, s.Path)
}

// Service copies for peers. The zero value allows none.
type Service struct {
	cfg    Config
	places quota.Places
}

// New returns a service.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Place == nil {
		cfg.Place = func(string) (string, string, error) { return "", "", errors.New("nothing may be copied here") }
	}
	return &Service{cfg: cfg, places: quota.Places{Most: Most, MostPerPeer: MostPerPeer}}
}

// Register serves the family on m.
func (s *Service) Register(m *streams.Mux) error {
	return errors.Join(Read.Handle(m, s.read), Write.Handle(m, s.write))
}

// take makes room for one more session of a peer, or says why there is none.
func (s *Service) take(p peer.ID) (release func(), err error) {
	release, ofPeer, all := s.places.Take(p)
	if release == nil {
		return nil, streams.Errorf(streams.CodeTooMany,
			"%d copies of this peer and %d in all are under way there, and it takes %d and %d: wait for one to end",
			ofPeer, all, MostPerPeer, Most)
	}
	return release, nil
}

// allowed opens the directory that the owner has listed which a path is in.
func (s *Service) allowed(path string) (g ground, rel string, closed []fs.FileInfo, end func() error, err error) {
	dir, rel, err := s.cfg.Place(path)
	if err != nil {
		return g, "", nil, nil, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	for _, p := range s.cfg.Closed {
		if info, err := os.Stat(p); err == nil {
			closed = append(closed, info)
		}
		if isBelow(p, filepath.Join(dir, rel)) {
			return g, "", nil, nil, errClosed
		}
	}
	top, err := os.OpenRoot(dir)
	if err != nil {
		return g, "", nil, nil, explained(err)
	}
	return below(top), rel, closed, top.Close, nil
}

// isBelow reports whether a path leads to a directory, or below it. What of the path does not exist does not
// matter.
func isBelow(dir, path string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		at, err := filepath.EvalSymlinks(path)
		if err == nil {
			rel, err := filepath.Rel(dir, at)
			return err == nil && (rel == "." || filepath.IsLocal(rel))
		}
		up := filepath.Dir(path)
		if up == path {
			return false
		}
		path = up
	}
}

// whileAllowed returns why the owner allows a path no more, or nil when ctx ends.
func (s *Service) whileAllowed(ctx context.Context, path string) error {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, _, err := s.cfg.Place(path); err != nil {
				return streams.Errorf(streams.CodeRefused, "%v", err)
			}
		}
	}
}

// session has do speak with the asker, from the answer to the request on, until the asker is done.
func (s *Service) session(
	ctx context.Context, p peer.ID, asked string, ended *Session, accept func() (*streams.Conn, error),
	do func(ctx context.Context, x *serving) error,
) error {
	conn, err := accept()
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { conn.Reset() })()
	var looking sync.WaitGroup
	looking.Go(func() { cancel(s.whileAllowed(ctx, asked)) })
	x := &serving{wire: newWire(ctx, conn)}
	err = do(ctx, x)
	refused, _ := errors.AsType[*streams.Error](context.Cause(ctx))
	switch {
	case err == nil:
		err = x.close()
	case refused != nil:
		err = refused
	case x.send(answer{Error: newFault(err)}) == nil:
		x.close() // the asker is to know why
	}
	ended.Files, ended.Failed, ended.Err = x.files.Load(), x.failed.Load(), err
	ended.Bytes, ended.Time = x.in.Load()+x.out.Load(), time.Since(began)
	x.wire.end()
	cancel(nil)
	looking.Wait()
	s.cfg.Logger.Debug("copy ended", "peer", p, "end", ended.String(), "err", err)
	if s.cfg.Ended != nil {
		s.cfg.Ended(p, *ended)
	}
	if refused != nil {
		return refused
	}
	return nil // the asker was told
}

// serving is a session on the machine.
type serving struct {
	*wire
	files, failed atomic.Int64
}

// next reads an order; io.EOF is the end.
func (x *serving) next() (o order, err error) {
	err = x.receive(&o)
	return o, err
}

// read copies from this machine.
func (s *Service) read(ctx context.Context, p streams.Peer, req ReadRequest, accept func() (*streams.Conn, error)) (err error) {
	release, err := s.take(p.ID)
	if err != nil {
		return err
	}
	defer release()
	g, rel, closed, end, err := s.allowed(req.Path)
	if err != nil {
		return err
	}
	defer end()
	src, err := g.from(rel, closed)
	if err != nil {
		return explained(err)
	}
	defer src.close()
	if src.file != "" && endsInSlash(req.Path) {
		return streams.Errorf(streams.CodeNotFound, "%s is no directory", src.path)
	}
	return s.session(ctx, p.ID, req.Path, &Session{Path: src.path}, accept, func(ctx context.Context, x *serving) error {
		if err := x.send(answer{Place: &place{src.path, &src.entry}}); err != nil {
			return err
		}
		if req.List && src.file == "" {
			if err := x.list(ctx, src); err != nil {
				return err
			}
		}
		out := newOutgoing(src, x.wire)
		for {
			o, err := x.next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if o.Get == nil {
				return broke("an order that is none of reading")
			}
			if err := x.get(ctx, out, o); err != nil {
				return err
			}
		}
	})
}

// Messages with entries have no more than these, so that each has room.
const (
	mostListed = 128      // entries
	mostNames  = 12 << 10 // bytes of their paths, before the last one
)

// list sends what is below the top directory.
func (x *serving) list(ctx context.Context, src *source) error {
	var page []Entry
	names, all := 0, 1
	flush := func() error {
		err := x.send(answer{Entries: page})
		page, names = page[:0], 0
		return err
	}
	left, err := src.list(ctx, func(e Entry) error {
		if all++; all > MaxEntries {
			return streams.Errorf(streams.CodeTooLarge, "there are more than %d files and directories; copy parts, or an archive", MaxEntries)
		}
		page = append(page, e)
		if names += len(e.Path); len(page) < mostListed && names < mostNames {
			return nil
		}
		return flush()
	})
	if err == nil && len(page) > 0 {
		err = flush()
	}
	if err != nil {
		return err
	}
	return x.send(answer{Listed: &left})
}

// get sends one file.
func (x *serving) get(ctx context.Context, out *outgoing, o order) error {
	checked := func(n int64) error { return x.send(answer{N: o.N, Checked: n}) }
	f, err := out.begin(ctx, o.Get.Entry, o.Get.Kept, checked)
	if err == nil {
		defer f.close()
		from := f.from
		if err := x.send(answer{N: o.N, From: &from}); err != nil {
			return err
		}
		fault, err := f.send(ctx)
		x.count(fault == nil && err == nil)
		return err
	}
	x.count(false)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return x.send(answer{N: o.N, Error: newFault(err)})
}

func (x *serving) count(ok bool) {
	if ok {
		x.files.Add(1)
	} else {
		x.failed.Add(1)
	}
}

// mostFinishing is how many files are brought to the disk at a time.
const mostFinishing = 16

// write copies to this machine.
func (s *Service) write(ctx context.Context, p streams.Peer, req WriteRequest, accept func() (*streams.Conn, error)) (err error) {
	release, err := s.take(p.ID)
	if err != nil {
		return err
	}
	defer release()
	g, rel, closed, end, err := s.allowed(req.Path)
	if err != nil {
		return err
	}
	defer end()
	to, err := g.to(rel, endsInSlash(req.Path), req.Name, req.Dir, closed)
	if err != nil {
		return explained(err)
	}
	defer to.close()
	top := to.way[0]
	if err := top.room(req.Bytes - top.size(to.base)); err != nil {
		return explained(err)
	}
	return s.session(ctx, p.ID, req.Path, &Session{Path: to.path, To: true}, accept, func(ctx context.Context, x *serving) error {
		if err := x.send(answer{Place: &place{Path: to.path}}); err != nil {
			return err
		}
		w := &writing{serving: x, to: to, told: make(map[int64]*incoming), buf: make([]byte, MaxPiece), places: make(chan struct{}, mostFinishing)}
		return w.run(ctx)
	})
}

// writing is a session in which files arrive.
type writing struct {
	*serving
	to   *target
	told map[int64]*incoming // announced, by the number of the order
	buf  []byte

	finishing sync.WaitGroup
	places    chan struct{}
	full      atomic.Pointer[streams.Error] // why no more fits
}

// run does what the asker wants, until that is done.
func (w *writing) run(ctx context.Context) (err error) {
	defer func() {
		for _, in := range w.told {
			in.abandon(true)
		}
		w.finishing.Wait()
		if full := w.full.Load(); full != nil {
			err = full
		}
		if err == nil {
			err = w.to.leave(1)
		}
		if top := w.to.way[0]; err == nil && top.written.Swap(false) {
			err = top.sync()
		}
	}()
	for {
		o, err := w.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = w.do(ctx, o)
		}
		if full := w.full.Load(); full != nil {
			return full
		}
		if err != nil {
			return err
		}
	}
}

// do does one order. An error ends the session.
func (w *writing) do(ctx context.Context, o order) error {
	switch {
	case o.Dir != nil && o.Dir.Kind == KindDir:
		made, err := w.to.makeDir(o.Dir.Path)
		state := StateUnchanged
		if made {
			state = StateMade
		}
		return w.answer(o.N, state, err)
	case o.Seal != nil && o.Seal.Kind == KindDir:
		w.finishing.Wait()
		return w.answer(o.N, StateMade, w.to.seal(*o.Seal))
	case o.Put != nil && o.Put.Kind == KindFile:
		return w.announced(ctx, o)
	case o.Send != nil:
		return w.arrives(ctx, o)
	}
	return broke("an order that is none of writing")
}

// answer says what came of an order. An error that concerns all others, too, ends the session.
func (w *writing) answer(n int64, s State, err error) error {
	a := answer{N: n, Done: &done{s}}
	if err != nil {
		a = answer{N: n, Error: newFault(err)}
	}
	if fault := w.send(a); fault != nil {
		return fault
	}
	if noRoom(err) {
		return explained(err)
	}
	return nil
}

// announced answers what is kept of a file.
func (w *writing) announced(ctx context.Context, o order) error {
	if len(w.told) >= MaxAhead || w.told[o.N] != nil {
		return broke("%d files were announced, and not sent", len(w.told))
	}
	in, err := w.to.prepare(ctx, *o.Put, func(n int64) error { return w.send(answer{N: o.N, Checked: n}) })
	if ctx.Err() != nil {
		if err == nil {
			in.abandon(true)
		}
		return context.Cause(ctx)
	}
	if err != nil {
		w.count(false)
		return w.answer(o.N, "", err)
	}
	w.told[o.N] = in
	return w.send(answer{N: o.N, Kept: &kept{in.marks()}})
}

// arrives takes the contents of a file.
func (w *writing) arrives(ctx context.Context, o order) error {
	in := w.told[o.N]
	if in == nil {
		return broke("the contents of a file that was not announced")
	}
	delete(w.told, o.N)
	if o.Send.Drop {
		in.abandon(false)
		w.count(false)
		return w.send(answer{N: o.N, Done: &done{StateFailed}})
	}
	sum, fault, err := w.take(in, o.Send.From, w.buf, func(int64) {})
	if err != nil {
		return err
	}
	if fault != nil {
		w.count(false)
		return w.answer(o.N, "", fault)
	}
	w.places <- struct{}{}
	w.finishing.Go(func() {
		defer func() { <-w.places }()
		state, err := in.commit(sum)
		w.count(err == nil)
		if w.answer(o.N, state, err); noRoom(err) {
			w.full.Store(explained(err))
		}
	})
	return nil
}
