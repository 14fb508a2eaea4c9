package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

const defaultTimeout = 30 * time.Second

// execution is what the flags of exec say that all operations share.
type execution struct {
	*env
	reach
	selection
	payload string
	timeout time.Duration
}

func newExecCommand(e *env) *cobra.Command {
	x := execution{env: e}
	cmd := &cobra.Command{
		Use:   "exec OPERATION [TARGET…]",
		Short: "Do one operation on one, several or all machines",
		Long: `Do one operation on the machines named, or on those that --all, --on or --best choose. See the flags
of an operation with: swarm controller exec OPERATION --help.

--all means all saved machines and, for operations that only read, those found within --wait; these
are saved when they answer. A command never goes to a machine that was only just found: anybody may
have announced it.

TARGET is a name from "swarm peers", the beginning of a peer ID (9 characters or more), or a multiaddr
that ends in /p2p/<peer ID>.

Each machine's result is printed as it arrives. With --json there is a line for each machine:
{"peer":"…","name":"…","ok":true,"type":"stats","payload":{…}}, or
{"peer":"…","ok":false,"error":{"code":403,"message":"…"}}.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none succeeded; 3 some succeeded;
4 none could be reached or answered in time; 5 all refused (401, 403).`,
		Example: `  swarm controller exec get_stats --all
  swarm controller exec start_miner rig-01 --miner xmrig --algorithm rx/0 --threads 4 --pool stratum+tcp://pool.example.org:3333 --wallet WALLET
  swarm controller exec get_logs rig-01 --name xmrig --follow
  swarm controller exec deploy rig-01 rig-02 ./bundle
  swarm controller exec stop_miner --all --name xmrig`,
		Args: unknownOperation,
		RunE: help, // never reached: without an operation unknownOperation fails
		// A flag of an operation may stand before it. The operation itself refuses those it does not
		// have.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
	}
	f := cmd.PersistentFlags()
	x.reach.flags(f)
	x.selection.flags(cmd, f)
	f.StringVar(&x.payload, "payload", "", "the request's payload: `JSON`, @FILE, or - for standard input")
	f.DurationVar(&x.timeout, "timeout", defaultTimeout,
		"how long a machine may take; with --follow until its first lines; for a deployment until it takes "+
			"further bytes, and a second more in all for each 64 KiB")
	cmd.SetFlagErrorFunc(notForOperation)
	for _, op := range operations() {
		sub := x.command(op)
		cmd.AddCommand(sub)
		sub.Flags().VisitAll(func(f *pflag.Flag) { knowSwitch(cmd, *f) })
	}
	return cmd
}

// command is "exec OPERATION".
func (x *execution) command(op operation) *cobra.Command {
	cmd := &cobra.Command{
		Use:     string(op.Request) + " [TARGET…]",
		Short:   op.short,
		Example: op.example,
		RunE:    func(cmd *cobra.Command, args []string) error { return x.run(cmd, op, args) },
	}
	if op.bundle != nil {
		cmd.Use += " BUNDLE"
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
	_, err := agent.Operations().Find(args[0])
	return err
}

// notForOperation names the operation that does not have a flag.
func notForOperation(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return fmt.Errorf("--%s is not for %s; see: %s --help", unknown.GetSpecifiedName(), cmd.Name(), cmd.CommandPath())
	}
	return err
}

func (x *execution) run(cmd *cobra.Command, op operation, args []string) (err error) {
	job, targets, err := x.job(op, args)
	if err != nil {
		return err
	}
	x.Names = targets
	if len(targets) > 0 && (x.All || x.On != "" || x.Best > 0) {
		return errors.New("name machines, or use --all, --on or --best, not both")
	}
	c, err := x.commander(cmd.Context(), x.env, agent.NewCommand)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	show := newResults(x.env, op, len(targets) == 1)
	job.Progress = show.progress
	sum, err := c.Exec(cmd.Context(), job, x.Selection, show.result)
	show.clearBar()
	if err != nil {
		return err
	}
	for _, w := range sum.Warnings {
		x.Stderr.Printf("swarm: %s\n", w)
	}
	return outcome(cmd.Context(), x.env, sum)
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
		j.Payload, err = op.request(x.payload, x.stdin)
		return j, args, err
	}
	switch {
	case x.payload != "":
		return j, nil, fmt.Errorf("--payload is not for %s", op.Request)
	case len(args) == 0:
		return j, nil, fmt.Errorf("%s what? The last argument is the file or directory to %[1]s", op.Request)
	}
	last := len(args) - 1
	j.Bundle, err = op.bundle(args[last])
	return j, args[:last], err
}
