// Package power lets a peer reboot a machine, or shut it down.
//
// A worker serves [Power] and [GetPower] with a [Service]. The answer to a request says that the machine is
// about to do it; who wants to know what came of it asks with GetPower until the machine is gone, comes
// back with another boot, or says why it could not:
//
//	ack, err := power.Power.Do(ctx, client, machine, power.Request{Action: power.Reboot})
//	…
//	state, err := power.GetPower.Do(ctx, client, machine, power.StateRequest{})
//	done := err == nil && state.Boot != ack.Boot
package power

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops/boot"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// DefaultPause is the time from the answer to its effect: it is on its way by then.
	DefaultPause = time.Second
	// commandTime is how long the system's command may take.
	commandTime = 30 * time.Second
	// endTime is how long a system that has taken the command may take to end the worker; then it has not
	// done it after all.
	endTime = 2 * time.Minute
	// maxSaid bounds what is told of what a command printed, in bytes.
	maxSaid = 200
)

// Config says what may be done.
type Config struct {
	// Allowed returns why the owner does not allow it; nil allows nothing.
	Allowed func() error
	// Command returns the system's command for an action, or why there is none; nil means that of this
	// system.
	Command func(Action) (argv []string, err error)
	// Pause is the time from the answer to its effect; 0 means DefaultPause.
	Pause time.Duration
	// Failed is told of an action that was not done. Nil is allowed.
	Failed func(by peer.ID, a Action, err error)
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Service does one action at a time. Its methods are safe for concurrent use.
type Service struct {
	cfg  Config
	boot string
	todo chan task // holds one

	mu     sync.Mutex
	doing  Action // guarded by mu: empty when nothing is done
	failed string // guarded by mu: why the last one was not done
	runs   bool   // guarded by mu: Run serves
}

type task struct {
	action Action
	argv   []string
	by     peer.ID
}

// New returns a service. It does nothing before Run.
func New(cfg Config) *Service {
	cfg.Pause = cmp.Or(cfg.Pause, DefaultPause)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Allowed == nil {
		cfg.Allowed = func() error { return errors.New("that is not allowed here") }
	}
	if cfg.Command == nil {
		cfg.Command = command
	}
	return &Service{cfg: cfg, boot: boot.ID(), todo: make(chan task, 1)}
}

// Handler returns the handler of [Power]; nil for a nil service, on the side that only asks.
func Handler(s *Service) func(context.Context, streams.Peer, Request) (Ack, error) {
	if s == nil {
		return nil
	}
	return s.ask
}

// StateHandler returns the handler of [GetPower], as Handler does.
func StateHandler(s *Service) func(context.Context, streams.Peer, StateRequest) (State, error) {
	if s == nil {
		return nil
	}
	return s.state
}

func (s *Service) ask(_ context.Context, p streams.Peer, req Request) (Ack, error) {
	if err := s.cfg.Allowed(); err != nil {
		return Ack{}, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	argv, err := s.cfg.Command(req.Action)
	if err != nil {
		return Ack{}, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.runs:
		return Ack{}, streams.Errorf(streams.CodeUnavailable, "the worker is starting or stopping: try again in a moment")
	case s.doing != "":
		return Ack{}, streams.Errorf(streams.CodeConflict, "the machine is about to do it already: %s", s.doing)
	}
	s.doing, s.failed = req.Action, ""
	s.todo <- task{req.Action, argv, p.ID} // there is room, as nothing is being done
	return Ack{req.Action, s.boot}, nil
}

func (s *Service) state(context.Context, streams.Peer, StateRequest) (State, error) {
	if err := s.cfg.Allowed(); err != nil {
		return State{}, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{s.boot, s.doing, s.failed}, nil
}

// Run does what is asked for until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.serves(true)
	defer s.serves(false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-s.todo:
			err := s.do(ctx, t)
			if ctx.Err() != nil {
				return nil
			}
			s.over(t, err)
		}
	}
}

func (s *Service) serves(runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = runs
}

// do has the system do it. It returns when that was not done: a system that does ends the worker.
func (s *Service) do(ctx context.Context, t task) error {
	s.cfg.Logger.Warn("the machine is about to end", "action", string(t.action), "peer", t.by)
	if !wait(ctx, s.cfg.Pause) {
		return ctx.Err()
	}
	if err := s.cfg.Allowed(); err != nil { // by now
		return err
	}
	if err := execute(ctx, t.argv); err != nil {
		return err
	}
	if wait(ctx, endTime) {
		return fmt.Errorf("%s was taken, and the machine still runs after %v", t.argv[0], endTime)
	}
	return ctx.Err()
}

// wait reports whether the time is over before ctx.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// execute runs a command of the system.
func execute(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.WaitDelay = time.Second
	said, err := c.CombinedOutput()
	if err == nil {
		return nil
	}
	words := strings.Join(strings.Fields(strings.ToValidUTF8(string(said), "?")), " ")
	return fmt.Errorf("%s: %w: %.*s", argv[0], err, maxSaid, words)
}

// over notes that a task was not done.
func (s *Service) over(t task, err error) {
	s.mu.Lock()
	s.doing, s.failed = "", err.Error()
	s.mu.Unlock()
	s.cfg.Logger.Error("the machine does not end", "action", string(t.action), "err", err)
	if s.cfg.Failed != nil {
		s.cfg.Failed(t.by, t.action, err)
	}
}

// found returns the first command of a list whose program is on this machine, or why there is none.
func found(a Action, all ...[]string) ([]string, error) {
	for _, argv := range all {
		if path, err := exec.LookPath(argv[0]); err == nil {
			return append([]string{path}, argv[1:]...), nil
		}
	}
	var names []string
	for _, argv := range all {
		names = append(names, argv[0])
	}
	return nil, fmt.Errorf("the worker finds nothing on this machine to %s it with (looked for %s)", a, strings.Join(names, ", "))
}
