package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// auditing is what the flags of audit say.
type auditing struct {
	*env
	connect.Choice
	reach   connect.Reach
	since   time.Duration
	verify  bool
	local   bool
	timeout time.Duration
}

func newAuditCommand(e *env) *cobra.Command {
	o := auditing{env: e}
	cmd := &cobra.Command{
		Use:   "audit [TARGET…]",
		Short: "Show who did what on machines, and check that record",
		Long: `Show who did what on machines: each command (recorded before it is executed) and its outcome, reads
of logs, and changes of rights; and whose requests were refused, within a day or --since. Each machine
keeps this log itself, and each entry is chained to the one before it.

With --verify the chain is checked, also against what the machine reported to this controller before. A
log that was cut, changed or begun again is reported, and the exit code is 2. Without a TARGET, --all
or --on the log of the worker on this machine is shown.`,
		Example: `  swarm audit rig-01 --since 24h
  swarm audit --all --verify
  swarm audit --state /var/lib/swarm/worker`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Names = args
			o.local = len(args) == 0 && !o.All && o.On == "" && o.Best == 0
			if o.local {
				return o.here(cmd)
			}
			return o.there(cmd.Context())
		},
	}
	f := cmd.Flags()
	span.Var(f, &o.since, "since", 0, "only what happened within this time (default: all that is kept)")
	f.BoolVar(&o.verify, "verify", false, "check the chain")
	span.Var(f, &o.timeout, "timeout", 30*time.Second, "how long a machine may take")
	o.Choice.Flags(cmd, f)
	o.reach.Flags(f)
	return cmd
}

// errNoWorker says that there is no record here.
var errNoWorker = errors.New("no worker was ever run on this machine, so it has no record; of another machine: swarm audit NAME")

// here shows the record of the worker on this machine.
func (o *auditing) here(cmd *cobra.Command) error {
	nodes, err := console.Nodes(o.env, console.HasIdentity)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(nodes, func(n console.Node) bool { return n.Role == agent.RoleWorker || n.Role == "" })
	if i < 0 {
		return errNoWorker
	}
	if nodes[i].Owner.Other {
		return console.AsOwner(cmd.Context(), o.env, cmd, nil, nodes[i])
	}
	dir := nodes[i].Dir
	entries, err := audit.Last(audit.Dir(dir), 1<<20)
	if err != nil {
		return err
	}
	from := time.Now().Add(-cmp.Or(o.since, audit.RefusedWithin))
	refused, err := audit.ReadRefused(audit.Dir(dir), from)
	if err != nil {
		return err
	}
	if o.since > 0 {
		entries = slices.DeleteFunc(entries, func(e audit.Entry) bool { return e.Time < from.UnixMilli() })
	}
	id, err := fleetdir.ID(dir)
	if err != nil {
		return err
	}
	rep := agent.AuditReport{Target: agent.Target{Peer: id, Name: "here"}, Entries: entries, Refused: refused}
	if o.verify {
		if err := audit.VerifyBoth(audit.Dir(dir)); err != nil {
			rep.Broken = err.Error()
		}
	}
	if err := results.Audit(o.env, rep, o.verify); err != nil {
		return err
	}
	if rep.Broken != "" {
		return &console.Exit{Code: console.ExitFailed}
	}
	return nil
}

func (o *auditing) there(ctx context.Context) (err error) {
	c, err := o.reach.Controller(o.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	req := audit.Request{Verify: o.verify}
	if o.since > 0 {
		req.Since = time.Now().Add(-o.since).UnixMilli()
	}
	broken, failed := false, error(nil)
	sum, err := c.Audit(ctx, o.Selection, req, o.timeout, func(rep agent.AuditReport) {
		broken = broken || rep.Broken != ""
		failed = errors.Join(failed, results.Audit(o.env, rep, o.verify))
	})
	switch err = errors.Join(err, failed); {
	case err != nil:
		return err
	case broken:
		return &console.Exit{Code: console.ExitFailed}
	}
	return o.env.Outcome(ctx, sum)
}
