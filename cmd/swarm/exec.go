package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/nearest"
	"github.com/seed-b490fa12/swarm/internal/span"
)

const defaultTimeout = 30 * time.Second

// execution is what the flags of exec say that all operations share.
type execution struct {
	*env
	connect.Reach
	connect.Choice
	payload string
	timeout time.Duration
}

func newExecCommand(e *env) *cobra.Command {
	x := execution{env: e}
	cmd := &cobra.Command{
		Use:   "exec OPERATION [TARGET…]",
		Short: "Do one operation on one, several or all machines",
		Long: `Do one operation on the machines named, or on those that --all, --on or --best choose. See the flags
of an operation with: swarm controller exec OPERATION --help. The everyday ones are also commands of
their own, with the same flags: swarm stats, logs, start, stop, deploy, run, shell.

--all means all saved machines and, for operations that only read, those found within --wait; these
are saved when they answer. A command never goes to a machine that was only just found: anybody may
have announced it.

TARGET is a name from "swarm peers" or the beginning of one, the beginning of a peer ID (9 characters or
more), or a multiaddr that ends in /p2p/<peer ID>.

Each machine's result is printed as it arrives. With --json there is a line for each machine:
{"peer":"…","name":"…","ok":true,"type":"stats","payload":{…}}, or
{"peer":"…","ok":false,"error":{"code":403,"message":"…"}}. A log that is followed, and a deployment, go on
over the next connection when this one is lost, and with the next controller when the one that serves
here ends and another follows within a minute; then there are the lines
{"peer":"…","event":"cut","why":"…"} and {"peer":"…","event":"back","awaySeconds":6.1}, which has "resent"
where bytes of a deployment are sent again.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none succeeded; 3 some succeeded;
4 none could be reached or answered in time; 5 all refused (401, 403). Of run on one machine that was
named: the command's own code, 128 and the number of a signal, 124 after --timeout, or 125 where it is
not known.`,
		Example: `  swarm controller exec get_stats --all --json
  swarm controller exec get_audit rig-01
  swarm controller exec start_miner rig-01 --payload @request.json`,
		Args: unknownOperation,
		RunE: help, // never reached: without an operation unknownOperation fails
		// A flag of an operation may stand before it. The operation itself refuses those it does
		// not have.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
	}
	x.flags(cmd, cmd.PersistentFlags())
	for _, op := range operations() {
		sub := x.command(op)
		cmd.AddCommand(sub)
		sub.Flags().VisitAll(func(f *pflag.Flag) { knowSwitch(cmd, *f) })
	}
	return cmd
}

// flags declares the flags that all operations share.
func (x *execution) flags(cmd *cobra.Command, f *pflag.FlagSet) {
	x.Reach.Flags(f)
	x.Choice.Flags(cmd, f)
	f.StringVar(&x.payload, "payload", "", "the request's payload: `JSON`, @FILE, or - for standard input")
	span.Var(f, &x.timeout, "timeout", defaultTimeout, "how long a machine may take")
}

// newWordCommands are the everyday operations at the top: the same values as below exec.
func newWordCommands(e *env) (cmds []*cobra.Command) {
	for _, op := range operations() {
		if op.word == "" {
			continue
		}
		x := execution{env: e}
		cmd := x.command(op)
		cmd.SuggestFor = append(op.otherWords, string(op.Request))
		cmd.Use = op.word + strings.TrimPrefix(cmd.Use, string(op.Request))
		cmd.Long = op.short + `. The machines are those named, or those that --all, --on or --best choose. ` +
			`A machine is named by its name or the beginning of it, by the beginning of its peer ID, or by an address that ends in ` +
			`/p2p/<peer ID>. The same as: swarm controller exec ` + string(op.Request)
		cmd.Example = op.example
		x.flags(cmd, cmd.Flags())
		cmd.Flags().Lookup("timeout").Usage = cmp.Or(op.timeout, "how long a machine may take")
		cmds = append(cmds, cmd)
	}
	return cmds
}

// command is "exec OPERATION".
func (x *execution) command(op operation) *cobra.Command {
	long := "swarm controller exec " + string(op.Request)
	cmd := &cobra.Command{
		Use:     string(op.Request) + op.command.Usage(),
		Short:   op.short,
		Example: strings.ReplaceAll(op.example, "swarm "+op.word+" ", long+" "),
		RunE:    func(cmd *cobra.Command, args []string) error { return x.run(cmd, op, args) },
	}
	if op.bundle != nil {
		cmd.Use += " BUNDLE"
	}
	if op.behind != nil {
		cmd.Use += " -- COMMAND [ARGUMENT…]"
	}
	if op.flags != nil {
		op.flags(cmd.Flags())
	}
	return cmd
}

// knowSwitch lets cobra find the operation behind a flag of its own that takes no value.
func knowSwitch(exec *cobra.Command, f pflag.Flag) {
	if f.NoOptDefVal != "" && exec.Flags().Lookup(f.Name) == nil {
		f.Hidden = true
		exec.Flags().AddFlag(&f)
	}
}

func unknownOperation(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which operation? One of: %s", strings.Join(agent.Operations().Names(), ", "))
	}
	if _, err := agent.Operations().Find(args[0]); err != nil {
		names := agent.Operations().Names()
		for _, op := range operations() {
			if op.word == args[0] {
				return fmt.Errorf("unknown operation %q; here it is called %s, and at the top: swarm %[1]s", op.word, op.Request)
			}
		}
		return fmt.Errorf("%w%s", err, nearest.Hint(args[0], names))
	}
	return nil
}

func (x *execution) run(cmd *cobra.Command, op operation, args []string) (err error) {
	if op.command != nil {
		within := x.timeout
		if !cmd.Flags().Changed("timeout") {
			within = 0
		}
		args = op.command.Take(x.env, args, cmd.ArgsLenAtDash(), x.Chosen(), within)
		defer func() { err = op.command.Own(err) }()
	}
	if dash := cmd.ArgsLenAtDash(); op.behind != nil && dash >= 0 {
		op.behind(args[dash:])
		args = args[:dash]
	}
	job, targets, err := x.job(op, args)
	if err != nil {
		return err
	}
	if op.here != nil && len(targets) == 0 && !x.Chosen() {
		if done, err := op.here(x.env, cmd, job.Payload, op.printer(x.env, true).Show); done || err != nil {
			return err
		}
	}
	if err := x.Name(targets); err != nil {
		return err
	}
	c, err := x.Commander(cmd.Context(), x.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	job.Timeout = x.Within(job.Timeout)
	show := op.printer(x.env, len(targets) == 1)
	if op.command != nil {
		return op.command.Do(cmd.Context(), show, job, func(ctx context.Context, j agent.Job, show func(agent.Result)) (agent.Summary, error) {
			return c.Exec(ctx, j, x.Selection, show)
		})
	}
	if !x.JSON {
		job.Progress = func(t agent.Target, sent, total int64) { show.Bar.Show(string(t.Peer), sent, total) }
	}
	do := func(ctx context.Context) error {
		sum, err := c.Exec(ctx, job, x.Selection, show.Show)
		show.Bar.Clear()
		if err = errors.Join(err, show.Flush()); err != nil {
			return err
		}
		for _, w := range sum.Warnings {
			x.Stderr.Printf("swarm: %s\n", w)
		}
		return x.env.Outcome(ctx, sum)
	}
	if job.Operation.Endless(job.Payload) {
		return x.Following(cmd.Context(), do)
	}
	return do(cmd.Context())
}

// job reads the request and the targets from the command line.
func (x *execution) job(op operation, args []string) (j agent.Job, targets []string, err error) {
	j.Timeout = x.timeout
	if x.timeout <= 0 {
		return j, nil, fmt.Errorf("--timeout %v: want more than 0", x.timeout)
	}
	if j.Operation, err = agent.Operations().Find(string(op.Request)); err != nil {
		return j, nil, err
	}
	if op.bundle == nil {
		j.Payload, err = op.request(x.payload, x.Stdin)
		return j, args, err
	}
	switch {
	case x.payload != "":
		return j, nil, fmt.Errorf("--payload is not for %s", op.Request)
	case len(args) == 0:
		return j, nil, fmt.Errorf("%s what? The last argument is the file or directory to %[1]s", op.Request)
	}
	last := len(args) - 1
	if j.Bundle, err = op.bundle(args[last]); errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no file or directory %q here; the last argument is what to %s", args[last], op.Request)
	}
	return j, args[:last], err
}
