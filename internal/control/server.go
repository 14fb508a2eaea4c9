package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
)

const (
	// progressStep is how many bytes of an upload go by between two lines.
	progressStep = 1 << 20
	// hubQueue is how many pushed messages wait for a slow watch; further ones it misses.
	hubQueue = 256
)

// Server listens on the socket for commands of this machine, and runs the controller that does
// them.
type Server struct {
	c     *agent.Controller
	talks talks

	mu      sync.Mutex // guards what follows
	watches map[chan agent.Pushed]struct{}
	changed chan struct{} // has a token when the first watch came, or the last one went
}

// NewServer returns the server of a controller that was made by [agent.NewServe], and neither
// listens nor runs yet.
func NewServer(c *agent.Controller) *Server {
	return &Server{c: c, watches: make(map[chan agent.Pushed]struct{}), changed: make(chan struct{}, 1)}
}

// Serve takes the socket, and then listens and runs the controller until ctx ends. ready is called
// when commands are taken. The error matches [ErrServing] when another controller has the socket;
// then nobody has heard of this one.
func (s *Server) Serve(ctx context.Context, socket string, ready func() error) error {
	l, err := listenSocket(socket)
	if err != nil {
		return err
	}
	if err := s.c.Listen(); err != nil {
		return errors.Join(err, l.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	srv := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	g.Go(func() error { return s.c.Run(ctx) })
	g.Go(func() error { return s.c.KeepAll(ctx) })
	g.Go(func() error { return s.hear(ctx) })
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if err := ready(); err != nil {
		return errors.Join(err, srv.Close(), g.Wait())
	}
	<-ctx.Done()
	if err := errors.Join(srv.Close(), g.Wait()); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	helloVerb.serve(mux, func(_ context.Context, _ struct{}, emit func(struct{}) error) error { return emit(struct{}{}) })
	execVerb.serve(mux, s.exec)
	inputVerb.serve(mux, s.talks.take)
	watchVerb.serve(mux, s.watch)
	deliverVerb.serve(mux, func(ctx context.Context, n agent.News, emit func(agent.Delivery) error) error {
		return s.c.Deliver(ctx, n, func(d agent.Delivery) { emit(d) })
	})
	addrsVerb.serve(mux, func(ctx context.Context, _ struct{}, emit func([]string) error) error {
		addrs, err := s.c.Addrs(ctx)
		if err == nil {
			emit(addrs)
		}
		return err
	})
	peersVerb.serve(mux, func(ctx context.Context, r peersRequest, emit func(agent.PeerLine) error) error {
		s.c.Refresh()
		lines, err := s.c.Peers(ctx, r.Try)
		for _, l := range lines {
			emit(l)
		}
		return err
	})
	forwardVerb.serve(mux, func(ctx context.Context, f agent.Forwarding, emit func(agent.ForwardEvent) error) error {
		s.c.Refresh()
		return s.c.Forward(ctx, f, emit)
	})
	copyVerb.serve(mux, func(ctx context.Context, y agent.Copy, emit func(agent.CopyEvent) error) error {
		s.c.Refresh()
		return s.c.Copy(ctx, y, emit)
	})
	eventsVerb.serve(mux, func(ctx context.Context, r eventsRequest, emit func(agent.Event) error) error {
		hear := s.c.Events
		if r.SoFar {
			hear = s.c.EventsSoFar
		}
		hear(ctx, emit) // it ends when the command does
		return nil
	})
	examineVerb.serve(mux, func(ctx context.Context, r examineRequest, emit func(diagnose.Diagnosis) error) error {
		s.c.Refresh()
		d, err := diagnose.Examine(ctx, s.c, r.Name, r.Timeout, true)
		if err == nil {
			emit(d)
		}
		return err
	})
	selfVerb.serve(mux, func(ctx context.Context, _ struct{}, emit func(agent.Self) error) error {
		s.c.Refresh()
		self, err := s.c.Self(ctx)
		if err == nil {
			emit(self)
		}
		return err
	})
	return mux
}

// exec does a job, and reports the progress of its uploads.
func (s *Server) exec(ctx context.Context, req execRequest, emit func(execLine) error) error {
	job, err := req.job()
	if err != nil {
		return err
	}
	var told sync.Map
	job.Progress = func(t agent.Target, sent, total int64) {
		if last, _ := told.Load(t.Peer); sent < total && last != nil && sent-last.(int64) < progressStep {
			return
		}
		told.Store(t.Peer, sent)
		emit(execLine{Progress: &progress{t, sent, total}})
	}
	job.Asked = func(t agent.Target) { emit(execLine{Asked: &t}) }
	job.Chosen = func() { emit(execLine{Chosen: true}) }
	if req.Talk != "" {
		end := s.talks.begin(ctx, req, &job)
		defer end()
	}
	s.c.Refresh()
	sum, err := s.c.Exec(ctx, job, req.Selection, func(r agent.Result) { emit(execLine{Result: &r}) })
	if err != nil {
		return err
	}
	emit(execLine{Summary: &sum})
	return nil
}

// hear listens to what workers push while there are watches: what a worker pushes takes its part of
// the link, and goes to nobody without.
func (s *Server) hear(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
		if !s.watched() {
			continue
		}
		hearing, cancel := context.WithCancel(ctx)
		var passing errgroup.Group
		passing.Go(func() error {
			defer cancel()
			return s.pass(hearing)
		})
		for hearing.Err() == nil {
			select {
			case <-hearing.Done():
			case <-s.changed:
				if !s.watched() {
					cancel()
				}
			}
		}
		if err := passing.Wait(); err != nil {
			return err
		}
		s.change() // a watch may have come meanwhile
	}
}

// pass passes what workers push on to all watches.
func (s *Server) pass(ctx context.Context) error {
	pushed, err := s.c.Watch(ctx, agent.Selection{All: true})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for p, err := range pushed {
		if err != nil {
			return err
		}
		s.mu.Lock()
		for w := range s.watches {
			select {
			case w <- p:
			default:
			}
		}
		s.mu.Unlock()
	}
	return nil
}

func (s *Server) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watches) > 0
}

// change makes hear look whether there are watches.
func (s *Server) change() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Server) watch(ctx context.Context, sel agent.Selection, emit func(agent.Pushed) error) error {
	s.c.Refresh()
	targets, err := s.c.Resolve(ctx, sel)
	if err != nil {
		return err
	}
	wanted := make(map[peer.ID]bool)
	for _, t := range targets {
		wanted[t.Peer] = true
	}
	ch := make(chan agent.Pushed, hubQueue)
	s.mu.Lock()
	s.watches[ch] = struct{}{}
	s.mu.Unlock()
	s.change()
	defer func() {
		s.mu.Lock()
		delete(s.watches, ch)
		s.mu.Unlock()
		s.change()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-ch:
			if sel.All || wanted[p.Target.Peer] {
				emit(p)
			}
		}
	}
}
