package runcli

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// AttachSpec declares the operation that shows a detached command.
func AttachSpec() streams.Spec { return run.Attach.Spec() }

// AttachFlags declares the flags of attach.
func (c *Command) AttachFlags(f *pflag.FlagSet) {
	f.Int64Var(&c.Offset, "since-offset", 0, "begin behind so many `BYTES` of output (default: at its beginning, as far as it is kept)")
	f.BoolVar(&c.Stop, "stop", false, "end the command, and show how it ends")
}

// takeAttach takes the machine and the ID.
func (c *Command) takeAttach(args []string) (targets []string) {
	if len(args) > 0 {
		targets = args[:1]
	}
	switch {
	case !c.single || len(args) == 0 || len(args) > 2:
		c.fault = errors.New("attach is for one machine that is named, and one command there: swarm attach rig-01 ID; without ID it lists them")
	case len(args) == 2:
		c.id = args[1]
	}
	c.single = len(targets) == 1
	return targets
}

// FillAttach puts the command into a request.
func (c *Command) FillAttach(r *run.AttachRequest) error {
	if c.fault != nil {
		return c.fault
	}
	if c.id != "" {
		r.ID = c.id
	}
	r.Stop = r.Stop || c.Stop
	if c.Offset != 0 {
		r.Offset = c.Offset
	}
	c.id, c.at = r.ID, r.Offset
	return nil
}

// attach shows what a detached command prints, over lost connections, until it has ended or the person
// leaves: then it goes on.
func (c *Command) attach(
	ctx context.Context, r *results.Printer, job agent.Job,
	exec func(context.Context, agent.Job, func(agent.Result)) (agent.Summary, error),
) error {
	view := c.viewOf(r)
	var fault error
	err := r.Following(ctx, func(ctx context.Context) error {
		sum, err := exec(ctx, job, func(res agent.Result) {
			res, shown := c.followed(res)
			if res.Done {
				fault = errors.Join(res.Err, view.flush())
			}
			if shown {
				r.Show(res)
			}
		})
		for _, w := range sum.Warnings {
			r.Stderr.Printf("swarm: %s\n", w)
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		if c.id != "" {
			r.Stderr.Printf("swarm: %s goes on at %s; to end it: swarm attach %s %s --stop\n", c.id, c.machine, c.machine, c.id)
		}
		return &console.Exit{Code: console.ExitInterrupted}
	case err != nil:
		return err
	case fault != nil:
		return &console.Exit{Code: OwnFailure}
	case c.exit != nil && c.exit.ShellCode() != 0:
		return &console.Exit{Code: c.exit.ShellCode()}
	}
	return nil
}

// followed counts what has arrived, and puts how the command ended into the last result. It reports whether
// the result is to be shown: nothing is behind a gap that the machine does not own up to.
func (c *Command) followed(res agent.Result) (agent.Result, bool) {
	if res.Done {
		switch {
		case res.Err != nil:
		case c.missing != nil:
			res.Err = c.missing
		case c.exit != nil:
			code := c.exit.ShellCode()
			res.Code = &code
		case c.id != "":
			res.Err = streams.Errorf(streams.CodeInternal, "the machine did not say how the command ended")
		}
		return res, true
	}
	o, err := outputOf(res)
	if err != nil || res.Event != "" || c.missing != nil {
		return res, c.missing == nil
	}
	at := c.at + int64(len(o.Data))
	if o.Gap != nil && o.Gap.From == c.at {
		at = o.Gap.To
	}
	if o.Detached == nil && at != o.Next {
		c.missing = streams.Errorf(streams.CodeInternal, "output is missing: %d bytes have arrived, and it goes on at %d", c.at, o.Next-int64(len(o.Data)))
		return res, false
	}
	c.at = at
	if c.exit = o.Exit; o.Exit != nil && o.Exit.StdoutBytes+o.Exit.StderrBytes != at {
		c.missing = streams.Errorf(streams.CodeInternal, "output is missing, so that its end (%s) does not count: %d of %d bytes have arrived",
			o.Exit, at, o.Exit.StdoutBytes+o.Exit.StderrBytes)
	}
	return res, c.missing == nil
}

// checkDetach says what does not go together.
func (c *Command) checkDetach() error {
	switch {
	case !c.Detach:
	case c.TTY:
		return errors.New("--detach and --tty: a command that goes on alone has no terminal; to come back to one run a program for that there, such as tmux")
	case c.Input:
		return errors.New("--detach and --input: a command that goes on alone reads nothing; put what it needs into a file there")
	}
	return nil
}
