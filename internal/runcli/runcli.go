// Package runcli is a command on other machines, as a person has it at a terminal: what is typed and
// piped goes there, what is printed comes here, Ctrl-C ends it, and its exit code is the program's.
package runcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// OwnFailure is the exit code where one machine was named and the command's own code is not known: it
// was refused, not found there, or lost.
const OwnFailure = results.OwnFailure

// Spec declares the operation of a command.
func Spec() streams.Spec { return run.Run.Spec() }

// ShellSpec declares the operation of a login shell.
func ShellSpec() streams.Spec { return run.Shell.Spec() }

// Command is a command line to be run on machines, with its flags. It is for one use.
type Command struct {
	Shell bool // it is a login shell, which takes no arguments and no flags

	Attach bool  // it was detached before, and is shown
	Offset int64 // --since-offset
	Stop   bool  // --stop

	Dir    string   // --dir
	Env    []string // --env, each NAME=VALUE
	Input  bool     // --input: standard input is read, also from a terminal
	Raw    bool     // --raw: lines are printed as they are
	TTY    bool     // --tty: the command has a terminal, which is shown here
	Detach bool     // --detach: it goes on alone

	single  bool   // one machine was named
	machine string // that one
	given   bool   // there is standard input
	tty     *terminal
	fault   error     // why there is no terminal
	id      string    // of a detached command
	at      int64     // bytes of its output that have arrived
	exit    *run.Exit // how it ended
	missing error     // why not all of it has arrived
	argv    []string
	timeout time.Duration // 0: the command takes as long as it does
	view    *view
}

// Flags declares the flags of a command.
func (c *Command) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.Dir, "dir", "", "where it runs, an absolute `PATH` there (default: the home directory of the worker's user)")
	f.StringArrayVar(&c.Env, "env", nil, "a variable, `NAME=VALUE`; may be repeated")
	f.BoolVarP(&c.Input, "input", "i", false, "send standard input from a terminal, too; files and pipes are sent anyway")
	f.BoolVarP(&c.TTY, "tty", "t", false, "give it a terminal, and show what it does with it as it is; Enter and ~. leave")
	f.BoolVarP(&c.Detach, "detach", "d", false, "let it go on alone, and print its ID; see: swarm attach --help")
	f.BoolVar(&c.Raw, "raw", false, "print control characters as they are, also on a terminal and of several machines")
}

// Usage is what stands behind the word on the command line; nil is no command.
func (c *Command) Usage() string {
	switch {
	case c == nil:
		return " [TARGET…]"
	case c.Shell:
		return " TARGET"
	case c.Attach:
		return " TARGET [ID]"
	}
	return " [TARGET…] -- COMMAND [ARGUMENT…]"
}

// Take splits the arguments, of which the first dash stand before "--", and looks whether there is
// standard input. chosen says that flags choose the machines; timeout is how long the command may take.
func (c *Command) Take(e *console.Env, args []string, dash int, chosen bool, timeout time.Duration) (targets []string) {
	if c.Attach {
		c.single = !chosen
		targets = c.takeAttach(args)
		c.machine = strings.Join(targets, "")
		return targets
	}
	if dash < 0 {
		dash = len(args)
	}
	targets, c.argv = args[:dash], args[dash:]
	c.single = len(targets) == 1 && !chosen
	c.given, c.timeout = c.Input || given(e.Stdin), timeout
	if c.single {
		c.machine = targets[0]
	}
	switch isPerson := output.IsTerminal(e.Stdin); {
	case !c.Shell:
	case !c.single || len(c.argv) > 0:
		c.fault = errors.New("a shell is for one machine that is named, and takes no command: swarm shell rig-01; else see: swarm run --help")
	default:
		c.TTY = isPerson && output.IsTerminal(e.Stdout) && !e.JSON
		c.given = c.given || isPerson
	}
	if c.TTY {
		c.tty, c.fault = newTerminal(e, c.single)
	}
	return targets
}

// Fill puts the command into a request.
func (c *Command) Fill(r *run.Request) error {
	if len(c.argv) > 0 {
		r.Argv = c.argv
	}
	if len(r.Argv) == 0 {
		return errors.New("run what? The command stands behind --, as in: swarm run rig-01 -- uptime")
	}
	r.Dir = cmp.Or(c.Dir, r.Dir)
	env, err := Variables(r.Env, c.Env)
	if err != nil {
		return err
	}
	r.Env = env
	if err := cmp.Or(c.fault, c.checkDetach()); err != nil {
		return err
	}
	if c.Detach {
		r.Detach, c.given = true, false
	}
	if c.tty != nil {
		r.TTY, r.Env = c.tty.request(), locale(r.Env)
	}
	r.Input = r.Input || c.given
	if c.timeout > 0 {
		r.TimeoutMS = c.timeout.Milliseconds()
	}
	return nil
}

// FillShell puts what there is of the person's terminal into a request.
func (c *Command) FillShell(r *run.ShellRequest) error {
	if c.fault != nil {
		return c.fault
	}
	if c.tty != nil {
		r.TTY, r.Locale = c.tty.request(), locale(r.Locale)
	}
	r.Input = r.Input || c.given
	return nil
}

// Variables adds what --env says, words of NAME=VALUE, to the variables of a request.
func Variables(env map[string]string, words []string) (map[string]string, error) {
	for _, kv := range words {
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, fmt.Errorf("--env %.80q: want NAME=VALUE", kv)
		}
		if env == nil {
			env = make(map[string]string)
		}
		env[name] = value
	}
	return env, nil
}

// given reports whether standard input is a file or a pipe: nothing is read from a terminal that nobody
// asked for, and a device such as /dev/null has nothing.
func given(stdin io.Reader) bool {
	f, ok := stdin.(*os.File)
	if !ok {
		return stdin != nil
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0
}

// Own gives an error of this program the exit code that is not taken for one of the command.
func (c *Command) Own(err error) error {
	if err == nil || !c.single || errors.As(err, new(*console.Exit)) {
		return err
	}
	return &console.Exit{Code: OwnFailure, Err: err}
}

// Show prints what a machine answers. It is for one at a time.
func (c *Command) Show(r *results.Printer, res agent.Result) error { return c.viewOf(r).show(res) }

func (c *Command) viewOf(r *results.Printer) *view {
	if c.view == nil {
		c.view = newView(r, c.single, c.Raw)
	}
	return c.view
}

// Do has the job done by exec, and returns what the exit code is to be. The end of ctx, as by Ctrl-C,
// ends the command on the machines; a second interrupt does not wait for that.
func (c *Command) Do(
	ctx context.Context, r *results.Printer, job agent.Job,
	exec func(context.Context, agent.Job, func(agent.Result)) (agent.Summary, error),
) error {
	if c.Attach {
		return c.attach(ctx, r, job, exec)
	}
	hungUp, hangUp := c.hangups(ctx)
	defer hangUp()
	leaving, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	defer onSecondInterrupt(leave)()
	job.Stop = hungUp.Done()
	switch {
	case c.tty != nil:
		c.tty.leave, c.tty.hangUp = leave, hangUp
		defer c.tty.giveBack()
		defer context.AfterFunc(hungUp, c.tty.giveBack)()
		job.Input, job.Sizes = c.tty.pieces, c.tty.sizes
	case c.given:
		job.Input = c.pieces(leaving, r)
	}
	view := c.viewOf(r)
	var outcome error
	err := r.Following(leaving, func(leaving context.Context) error {
		sum, err := exec(leaving, job, func(res agent.Result) {
			if c.tty != nil && c.tty.take(leaving, res) {
				return
			}
			view.note(res)
			r.Show(res)
		})
		if err = errors.Join(err, view.flush()); err != nil {
			return err
		}
		for _, w := range sum.Warnings {
			r.Stderr.Printf("swarm: %s\n", w)
		}
		outcome = view.outcome(leaving, sum)
		return outcome
	})
	if c.tty != nil {
		if own := c.tty.ended(c.machine); own != nil {
			return &console.Exit{Code: OwnFailure, Err: own}
		}
	}
	switch {
	case hungUp.Err() != nil:
		return &console.Exit{Code: console.ExitInterrupted}
	case c.single && view.code != nil && outcome != nil: // also where its reader has left meanwhile
		return outcome
	}
	return err
}

// hangups returns a context that ends with ctx, or with the terminal that a command has: then the command is
// ended, too. end ends it.
func (c *Command) hangups(ctx context.Context) (hungUp context.Context, end func()) {
	if c.tty == nil {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP) // whose end ends it as well
}

// onSecondInterrupt calls do when the program is interrupted for the second time, until end.
func onSecondInterrupt(do func()) (end func()) {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt)
	over := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-interrupts:
			case <-over:
				return
			}
		}
		do()
	}()
	return func() {
		signal.Stop(interrupts)
		close(over)
	}
}

// pieces reads standard input until its end. Where nobody takes it any more, the reader may be left
// waiting for a person who types: that ends with the program.
func (c *Command) pieces(ctx context.Context, r *results.Printer) <-chan []byte {
	pieces := make(chan []byte)
	go func() {
		defer close(pieces)
		buf := make([]byte, agent.InputPiece)
		for {
			n, err := r.Stdin.Read(buf)
			if n > 0 {
				select {
				case pieces <- slices.Clone(buf[:n]):
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					r.Stderr.Printf("swarm: standard input ends here: %s\n", output.Whole(err.Error()))
				}
				return
			}
		}
	}()
	return pieces
}
