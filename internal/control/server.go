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
	c *agent.Controller

	mu      sync.Mutex // guards watches
	watches map[chan agent.Pushed]struct{}
}

// NewServer returns the server of a controller that was made by [agent.NewServe], and neither
// listens nor runs yet.
func NewServer(c *agent.Controller) *Server {
	return &Server{c: c, watches: make(map[chan agent.Pushed]struct{})}
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
	execVerb.serve(mux, s.exec)
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
	eventsVerb.serve(mux, func(ctx context.Context, _ struct{}, emit func(agent.Event) error) error {
		s.c.Events(ctx, emit) // it ends when the command does
		return nil
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
	s.c.Refresh()
	sum, err := s.c.Exec(ctx, job, req.Selection, func(r agent.Result) { emit(execLine{Result: &r}) })
	if err != nil {
		return err
	}
	emit(execLine{Summary: &sum})
	return nil
}

// hear passes what workers push on to all watches.
func (s *Server) hear(ctx context.Context) error {
	pushed, err := s.c.Watch(ctx, agent.Selection{All: true})
	if err != nil {
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
	defer func() {
		s.mu.Lock()
		delete(s.watches, ch)
		s.mu.Unlock()
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
