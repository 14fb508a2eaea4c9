// Package forward carries TCP connections over the swarm, to addresses that the owner of a machine has
// listed, such as the web page of a miner there.
//
// A worker serves [Open] and [Check] with a [Service]. On the other side a [Local] takes connections on
// a listener and passes each on:
//
//	ln, err := net.Listen("tcp", "127.0.0.1:8080")
//	l := forward.Local{Dial: func(ctx context.Context) (*streams.Conn, error) {
//		return forward.Open.Dial(ctx, client, machine, forward.Request{Target: "127.0.0.1:80"})
//	}}
//	err = l.Serve(ctx, ln)
//
// Each connection has a stream of its own, so that one which stalls holds up no other. The end of one
// side's bytes is passed on as that, and a reset as a reset.
package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/quota"
)

const (
	// Most is how many connections a machine carries at a time, and MostPerPeer how many of these for one
	// peer.
	Most        = 256
	MostPerPeer = 100
	// DialWithin is how long a target may take to answer.
	DialWithin = 10 * time.Second
	// askAgain is how often the owner's list is looked at while a connection is open.
	askAgain = time.Second
)

// Config says which connections are made.
type Config struct {
	// Allowed returns why the owner does not allow a target. It is asked before each connection, and
	// every second while one is open. Nil allows none.
	Allowed func(target string) error
	// Ended is told of each connection that was made and has ended. Nil is allowed.
	Ended func(by peer.ID, c Connection)
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Connection is one that has ended.
type Connection struct {
	Target string
	// In is how many bytes went to the target, and Out how many came from it.
	In, Out int64
	Time    time.Duration
	// Err says why it was reset; nil where both sides have closed it.
	Err error
}

// String says what it was, in a line.
func (c Connection) String() string {
	how := "closed"
	if c.Err != nil {
		how = "reset"
	}
	return fmt.Sprintf("%s after %.1f s, %d bytes to it and %d from it: target=%s", how, c.Time.Seconds(), c.In, c.Out, c.Target)
}

// Service makes connections for peers. The zero value allows none.
type Service struct {
	cfg    Config
	places quota.Places
}

// New returns a service.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Allowed == nil {
		cfg.Allowed = func(string) error { return errors.New("no connections are allowed here") }
	}
	return &Service{cfg: cfg, places: quota.Places{Most: Most, MostPerPeer: MostPerPeer}}
}

// Register serves the family on m.
func (s *Service) Register(m *streams.Mux) error {
	return errors.Join(Open.Handle(m, s.serve), Check.Handle(m, s.check))
}

// check answers whether a target may be connected to.
func (s *Service) check(_ context.Context, _ streams.Peer, req Request) (Allowed, error) {
	return Allowed{}, s.allowed(req.Target)
}

func (s *Service) allowed(target string) error {
	if err := s.cfg.Allowed(target); err != nil {
		return streams.Errorf(streams.CodeRefused, "%v", err)
	}
	return nil
}

// take makes room for one more connection of a peer, or says why there is none.
func (s *Service) take(p peer.ID) (release func(), err error) {
	release, ofPeer, all := s.places.Take(p)
	if release == nil {
		return nil, streams.Errorf(streams.CodeTooMany,
			"%d connections of this peer and %d in all are open there, and it takes %d and %d: wait for one to end",
			ofPeer, all, MostPerPeer, Most)
	}
	return release, nil
}

// serve makes one connection, and carries it to its end.
func (s *Service) serve(ctx context.Context, p streams.Peer, req Request, accept func() (*streams.Conn, error)) error {
	if err := s.allowed(req.Target); err != nil {
		return err
	}
	release, err := s.take(p.ID)
	if err != nil {
		return err
	}
	defer release()
	near, err := connect(ctx, req.Target)
	if err != nil {
		return err
	}
	defer near.Close()
	far, err := accept()
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var looking sync.WaitGroup
	looking.Go(func() { cancel(s.whileAllowed(ctx, req.Target)) })
	c := Connection{Target: req.Target}
	c.In, c.Out, c.Err = carry(ctx, near, far)
	c.Time = time.Since(began)
	refused, _ := errors.AsType[*streams.Error](context.Cause(ctx))
	cancel(nil)
	looking.Wait()
	s.cfg.Logger.Debug("connection ended", "peer", p.ID, "end", c.String(), "err", c.Err)
	if s.cfg.Ended != nil {
		s.cfg.Ended(p.ID, c)
	}
	if refused != nil {
		return refused
	}
	return nil // a reset is no fault of the asker
}

// whileAllowed returns why the owner allows the target no more, or nil when ctx ends.
func (s *Service) whileAllowed(ctx context.Context, target string) error {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.allowed(target); err != nil {
				return err
			}
		}
	}
}

// connect connects to a target. An error is for the asker.
func connect(ctx context.Context, target string) (*net.TCPConn, error) {
	c, err := (&net.Dialer{Timeout: DialWithin}).DialContext(ctx, "tcp", target)
	if err == nil {
		return c.(*net.TCPConn), nil
	}
	if ctx.Err() != nil {
		return nil, cmp.Or(context.Cause(ctx), ctx.Err())
	}
	return nil, dialError(target, err)
}

// dialError puts into words why a target was not connected to.
func dialError(target string, err error) error {
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	late, isNet := errors.AsType[net.Error](err)
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case isUnknown && unknown.IsNotFound:
		return streams.Errorf(streams.CodeNotFound, "the machine knows no address for %s", target)
	case errors.Is(err, syscall.ECONNREFUSED):
		return streams.Errorf(streams.CodeNotFound, "nothing listens at %s on that machine (connection refused)", target)
	case isNet && late.Timeout():
		return streams.Errorf(streams.CodeTimeout, "%s did not answer the machine within %v", target, DialWithin)
	case isErrno:
		return streams.Errorf(streams.CodeNotFound, "the machine cannot connect to %s: %w", target, errno)
	}
	return streams.Errorf(streams.CodeNotFound, "the machine cannot connect to %s", target)
}
