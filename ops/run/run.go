// Package run lets a peer run commands on a machine, with the rights of the worker's user.
//
// A worker serves [Run] with a [Service]; what a command gets and what it does not is said there. A
// controller asks, and counts what arrives:
//
//	for item, err := range run.Run.Do(ctx, client, machine, run.Request{Argv: []string{"uptime"}}, talk) { … }
//
// The sides keep within the windows of the package: the worker sends OutputWindow bytes and waits to
// hear that they were dealt with, the asker sends InputWindow bytes and waits to hear that they were
// taken. So neither has to keep more, however slow the other one is, and a pause of any length is no
// fault.
package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/streams"
)

// DefaultMost is how many commands run at a time where the owner says nothing.
const DefaultMost = 16

// DefaultGrace is how long a command may take to end after it was asked to.
const DefaultGrace = 2 * time.Second

// Config says how commands are run.
type Config struct {
	// Dir names the commands of this worker, so that the next one finds those that a killed one has left:
	// an absolute path, at which nothing has to be.
	Dir string
	// Allowed returns why the owner allows no commands, and how many may run at a time, 0 for
	// DefaultMost. It is asked before each command, and every second while one runs. Nil allows none.
	Allowed func() (most int, err error)
	// Limits returns those of each command, with all that it starts; nil: there are none.
	Limits func() driver.Limits
	// Environ is the environment that the few variables are taken from that every command has; nil
	// means that of this program.
	Environ []string
	// Grace is how long a command may take to end after it was asked to; 0 means DefaultGrace.
	Grace time.Duration
	// Ended is told how each command ended. Nil is allowed.
	Ended func(by peer.ID, req Request, e Exit)
	// Shell returns for whom the owner allows login shells, empty for the worker's user, and how many may run
	// at a time, commands among them, 0 for DefaultMost; or why none. It is asked as Allowed is. Nil allows
	// none.
	Shell func() (user string, most int, err error)
	// ShellEnded is told how each login shell ended. Nil is allowed.
	ShellEnded func(by peer.ID, user string, req ShellRequest, e Exit)
	// Spool is the directory, an absolute path, of what commands print that go on without their askers. What
	// is in it is removed. Empty: there are none.
	Spool string
	// Still returns why the peer who has detached a command may not run commands any more. It is asked as
	// Allowed is. Nil: it may.
	Still func(by peer.ID) error
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Service runs commands. What a command gets:
//   - the program and arguments as they are, without a shell;
//   - PATH, HOME, USER, LOGNAME, LANG, LC_…, TZ and TERM of the worker, and what the request adds,
//     but none of the worker's other variables, and no open files;
//   - the home directory of the worker's user, or the directory that the request names;
//   - a terminal that controls its session, where the request asks for one.
//
// When it ends, so does all that it has started, also what has left its process group: see package
// process for how that is found. The same happens when the asker leaves or is lost, its time is over,
// the owner forbids commands, or the worker stops. One that is detached goes on without its asker. Close the
// service in the end.
type Service struct {
	cfg      Config
	driver   process.Driver
	detached *detachments

	mu      sync.Mutex
	running int // guarded by mu
}

// New returns a service, and ends what commands of a killed worker have left.
func New(cfg Config) (*Service, error) {
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Allowed == nil {
		cfg.Allowed = func() (int, error) { return 0, errors.New("commands are not allowed here") }
	}
	if cfg.Limits == nil {
		cfg.Limits = func() driver.Limits { return driver.Limits{} }
	}
	if cfg.Shell == nil {
		cfg.Shell = func() (string, int, error) { return "", 0, errors.New("shells are not allowed here") }
	}
	if cfg.Environ == nil {
		cfg.Environ = os.Environ()
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("directory of commands %q: want an absolute path", cfg.Dir)
	}
	kept, err := openDetachments(cfg.Spool)
	if err != nil { // as on a disk that is read-only
		cfg.Logger.Error("what commands of an earlier run of the worker have printed stays", "err", err)
	}
	s := &Service{cfg: cfg, detached: kept}
	n, err := s.driver.Sweep(cfg.Dir)
	if n > 0 {
		cfg.Logger.Warn("ended what commands of an earlier run of the worker had left", "processes", n)
	}
	if err != nil { // a worker that does not start is lost
		cfg.Logger.Error("what commands of an earlier run of the worker have left does not end", "err", err)
	}
	return s, nil
}

// Handler returns the handler of [Run]; nil for a nil service, on the side that only asks.
func Handler(s *Service) func(context.Context, streams.Peer, Request, <-chan Input, func(Output) error) (Output, error) {
	if s == nil {
		return nil
	}
	return s.handle
}

// session is what a request comes to.
type session struct {
	input   bool
	timeout time.Duration
	allowed func() (most int, err error)
	start   func() (*command, error)
}

// take makes room for one more command, or says why there is none.
func (s *Service) take(allowed func() (most int, err error)) error {
	most, err := allowed()
	if err != nil {
		return streams.Errorf(streams.CodeRefused, "%v", err)
	}
	most = cmp.Or(most, DefaultMost)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running >= most {
		return streams.Errorf(streams.CodeTooMany, "%d commands run there already, and the owner allows no more at a time: "+
			"wait for one to end", s.running)
	}
	s.running++
	return nil
}

func (s *Service) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// handle runs one command to its end. When it returns, nothing of the command runs.
func (s *Service) handle(
	ctx context.Context, p streams.Peer, req Request, inputs <-chan Input, send func(Output) error,
) (Output, error) {
	if req.Detach {
		return s.detach(p.ID, req)
	}
	x := session{
		input: req.Input, timeout: req.Timeout(), allowed: s.cfg.Allowed, start: func() (*command, error) { return s.start(req) },
	}
	exit, err := s.serve(ctx, p, x, inputs, send)
	if exit != nil && s.cfg.Ended != nil {
		s.cfg.Ended(p.ID, req, *exit)
	}
	return Output{Exit: exit}, err
}

// serve runs a session to its end, and returns how it ended; nil where it did not begin.
func (s *Service) serve(
	ctx context.Context, p streams.Peer, x session, inputs <-chan Input, send func(Output) error,
) (*Exit, error) {
	if err := s.take(x.allowed); err != nil {
		return nil, err
	}
	defer s.release()
	c, err := x.start()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s.cfg.Logger.Info("command started", "peer", p.ID, "pid", c.work.PID())
	exit, err := s.attend(ctx, c, x, inputs, send)
	exit.Seconds = time.Since(began).Seconds()
	s.cfg.Logger.Info("command ended", "peer", p.ID, "pid", c.work.PID(), "end", exit.String(), "seconds", exit.Seconds)
	return &exit, err
}

// attend carries what is printed and put in until the command has ended and all was sent. An error
// means that there is nobody to send it to, or that the asker has broken a rule.
func (s *Service) attend(
	ctx context.Context, c *command, x session, inputs <-chan Input, send func(Output) error,
) (Exit, error) {
	out := newOutput(ctx, send)
	var copying sync.WaitGroup
	copied := make(chan struct{})
	first := out.send(Output{Started: &Started{PID: c.work.PID(), TTY: c.tty != nil}})
	if c.tty != nil {
		screen := newAhead(c.stdout, func(yes bool) { _ = holds(c.tty, yes) }) // the terminal may be gone
		copying.Go(screen.fill)
		copying.Go(func() { out.copy(Stdout, screen, c.work.Done()) })
	} else {
		copying.Go(func() { out.copy(Stdout, c.stdout, c.work.Done()) })
		copying.Go(func() { out.copy(Stderr, c.stderr, c.work.Done()) })
	}
	go func() {
		<-c.work.Done()
		if c.tty != nil {
			c.tty.Close() // the last one who has it open: then its reader sees the end
		}
		copying.Wait()
		close(copied)
	}()
	in := newStdin(c.stdin, c.tty != nil, out.tookInput)
	if !x.input && c.tty == nil {
		in.end()
	}
	fault := first
	if fault == nil {
		fault = s.carry(ctx, c, x, inputs, in, out, copied)
	}
	if fault != nil {
		out.cancel(fault)
		c.end(s.cfg.Grace, "")
		<-c.work.Done()
	}
	in.close()
	<-copied
	c.close()
	exit := c.exit()
	exit.StdoutBytes, exit.StderrBytes = out.counts()
	return exit, fault
}

// carry takes inputs and looks at the time until the command has ended and its output was sent.
func (s *Service) carry(
	ctx context.Context, c *command, x session, inputs <-chan Input, in *stdin, out *output, copied <-chan struct{},
) error {
	var over <-chan time.Time
	if x.timeout > 0 {
		over = time.After(x.timeout)
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-copied:
			return out.fault()
		case <-out.ctx.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return context.Cause(out.ctx)
		case i := <-inputs:
			if err := out.dealtWith(i.Taken); err != nil {
				return err
			}
			if len(i.Data) > 0 {
				if err := in.add(i.Data); err != nil {
					return err
				}
			}
			if i.End {
				in.end()
			}
			if i.Size != nil {
				if err := c.resize(*i.Size); err != nil {
					return err
				}
			}
			if i.Stop {
				c.end(s.cfg.Grace, WhyStopped)
			}
		case <-over:
			c.end(s.cfg.Grace, WhyTimeout)
		case <-look.C:
			if _, err := x.allowed(); err != nil {
				return streams.Errorf(streams.CodeRefused, "%v", err)
			}
		}
	}
}

// command is one that runs.
type command struct {
	work driver.Workload
	// stdin, stdout and stderr are our ends of the pipes; with tty the first two are our side of the terminal,
	// and the third is nil.
	stdin, stdout, stderr *os.File

	tty  *os.File // the command's side of the terminal; nil where there is none
	once sync.Once
	why  string // why the worker ended it; set by the first end
}

// start starts the command of a request.
func (s *Service) start(req Request) (*command, error) {
	env := environment(s.cfg.Environ, req.TTY, req.Env)
	dir, err := directory(env, req.Dir)
	if err != nil {
		return nil, err
	}
	program, err := find(req.Argv[0], env, dir)
	if err != nil {
		return nil, err
	}
	c, err := s.launch(driver.Spec{
		Argv: append([]string{program}, req.Argv[1:]...), Dir: dir, Env: env, OnlyEnv: true,
		Mark: filepath.Join(s.cfg.Dir, rand.Text()), Limits: s.cfg.Limits(),
	}, req.TTY)
	if err != nil {
		return nil, StartError(req.Argv[0], err)
	}
	return c, nil
}

// launch starts what a spec says, at a terminal or with pipes.
func (s *Service) launch(spec driver.Spec, tty *TTY) (_ *command, err error) {
	c := new(command)
	var theirs [3]*os.File
	defer func() {
		for _, f := range theirs {
			if f != nil {
				f.Close()
			}
		}
		if err != nil {
			c.close()
		}
	}()
	if tty != nil {
		err = c.open(*tty, spec)
		spec.TTY = c.tty
	} else {
		theirs, err = c.connect()
		spec.Stdin, spec.Stdout, spec.Stderr = theirs[0], theirs[1], theirs[2]
	}
	if err != nil {
		return nil, err
	}
	c.work, err = s.driver.Start(spec)
	return c, err
}

// connect makes the pipes of a command, and returns its ends.
func (c *command) connect() (theirs [3]*os.File, err error) {
	if theirs[0], c.stdin, err = os.Pipe(); err != nil {
		return theirs, err
	}
	if c.stdout, theirs[1], err = os.Pipe(); err != nil {
		return theirs, err
	}
	c.stderr, theirs[2], err = os.Pipe()
	return theirs, err
}

// end asks the command to end, and ends all of it after the grace. The first reason counts.
func (c *command) end(grace time.Duration, why string) {
	c.once.Do(func() {
		select {
		case <-c.work.Done():
			return // by itself
		default:
		}
		c.why = why
		ended, cancel := context.WithCancel(context.Background())
		cancel() // it is not waited for here
		_ = c.work.Stop(ended, grace)
	})
}

// exit tells how it ended.
func (c *command) exit() Exit {
	e := c.work.Exit()
	out := Exit{Why: c.why}
	if e.Number > 0 {
		out.Signal, out.Number = signalName(e.Number), e.Number
	} else {
		out.Code = &e.Code
	}
	return out
}

func (c *command) close() {
	for _, f := range []*os.File{c.stdin, c.stdout, c.stderr, c.tty} {
		if f != nil {
			f.Close()
		}
	}
}
