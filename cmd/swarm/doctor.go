package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/service"
	"github.com/seed-b490fa12/swarm/internal/span"
)

func newDoctorCommand(e *env) *cobra.Command {
	var (
		r       connect.Reach
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:        "doctor [NAME]",
		SuggestFor: []string{"diagnose", "check", "debug"},
		Short:      "Find out why a machine does not answer, and what to do",
		Long: `Find out why a machine does not answer: whether its name is known and its grant valid, when it was last
seen, which of its addresses answer and what is wrong with the others, by which path it is reached,
whether its clock and version fit, and whether this controller may ask it. Each finding comes with the
next step.

Without a name, examine this machine: its fleet, from where it can be reached, the relays it uses, its
NAT, UDP and the clock.

The exit code is that of a command to the machine: 0 well, 1 unknown name, 4 offline, 5 no right,
2 anything else.`,
		Example: "  swarm doctor\n  swarm doctor rig-01\n  swarm doctor rig-01 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if done, err := doctorHere(cmd, e); done || err != nil {
					return err
				}
			}
			return doctor(cmd.Context(), e, r, strings.Join(args, ""), timeout)
		},
	}
	r.Flags(cmd.Flags())
	span.Var(cmd.Flags(), &timeout, "timeout", 5*time.Second, "how long the examination may take")
	return cmd
}

// doctorHere examines the worker or relay of this machine where that is what it has, and makes no
// identity where it has none. It reports whether there is nothing left to do.
func doctorHere(cmd *cobra.Command, e *env) (done bool, err error) {
	nodes, err := console.Nodes(e, console.HasIdentity)
	if err != nil {
		return false, err
	}
	if len(nodes) == 0 {
		return true, errors.New("no node was ever run on this machine; begin with: swarm init, or swarm join")
	}
	n := nodes[0] // a controller, where there is one
	if n.Owner.Other {
		return true, console.AsOwner(cmd.Context(), e, cmd, nil, n)
	}
	role := console.RoleOf(n)
	if role == agent.RoleController {
		return false, nil
	}
	start := "swarm " + role
	if m, err := service.System(); err == nil && slices.Contains(m.Installed(), service.Role(role)) {
		start = "sudo swarm service restart " + role
	}
	d, err := diagnose.Worker(n.Dir, role, start, e.Log)
	if err != nil {
		return true, err
	}
	if err := printDiagnosis(e, d); err != nil || d.Err == nil {
		return true, err
	}
	var sum agent.Summary
	sum.Add(d.Err)
	return true, e.Outcome(cmd.Context(), sum)
}

// doctor has the controller that serves here examine, as it knows what is connected; else, or where
// that is of an older program, it examines by a controller of its own.
func doctor(ctx context.Context, e *env, r connect.Reach, name string, timeout time.Duration) error {
	d, err := examine(ctx, e, r, name, timeout)
	if err != nil {
		return err
	}
	if err := printDiagnosis(e, d); err != nil {
		return err
	}
	if name == "" && d.Err == nil {
		return nil
	}
	var sum agent.Summary
	sum.Add(d.Err)
	return e.Outcome(ctx, sum)
}

func examine(ctx context.Context, e *env, r connect.Reach, name string, timeout time.Duration) (d diagnose.Diagnosis, err error) {
	if len(r.Bootstrap) == 0 {
		if remote, ok := e.Serving(ctx); ok {
			defer remote.Close()
			d, err := remote.Examine(ctx, name, timeout)
			if !errors.Is(err, control.ErrOlder) {
				return d, err
			}
			e.Stderr.Printf("swarm: %s%s\n", err, hints.For(err))
		}
	}
	c, err := r.Controller(e)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return diagnose.Examine(ctx, c, name, e.Within(timeout), false)
}

func printDiagnosis(e *env, d diagnose.Diagnosis) error {
	return output.PrintList(&e.Std, d.Findings, func() error { return tabulate(e, d.Findings) })
}

func tabulate(e *env, findings []diagnose.Finding) error {
	t := e.Stdout.Table()
	marks := map[diagnose.Level]string{diagnose.LevelOK: " ", diagnose.LevelWarn: "!", diagnose.LevelFail: "x"}
	for _, f := range findings {
		t.Row(output.Whole(marks[f.Level]+" "+f.Check), output.Whole(f.Text))
		if f.Next != "" {
			t.Row("", output.Whole("  next: "+f.Next))
		}
	}
	return t.Flush()
}
