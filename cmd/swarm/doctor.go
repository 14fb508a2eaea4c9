package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
	"github.com/seed-b490fa12/swarm/internal/output"
)

func newDoctorCommand(e *env) *cobra.Command {
	var (
		r       reach
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "doctor [NAME]",
		Short: "Find out why a machine does not answer, or how it stands with this one",
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
				return doctorHere(cmd.Context(), e, r)
			}
			return doctor(cmd.Context(), e, r, args[0], timeout)
		},
	}
	r.flags(cmd.Flags())
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long an address has to answer")
	return cmd
}

func doctor(ctx context.Context, e *env, r reach, name string, timeout time.Duration) (err error) {
	c, err := r.controller(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	d, err := diagnose.Machine(ctx, c.Node, c, name, timeout)
	if err != nil {
		return err
	}
	if remote, ok := e.serving(ctx); ok {
		defer remote.Close()
		lines, err := remote.Peers(ctx, 0)
		if err != nil {
			return err
		}
		d.Served(lines)
	}
	if err := printDiagnosis(e, d); err != nil {
		return err
	}
	var sum agent.Summary
	sum.Add(d.Err)
	return outcome(ctx, e, sum)
}

// doctorHere has the controller that serves here look at this machine, or looks with less.
func doctorHere(ctx context.Context, e *env, r reach) (err error) {
	if remote, ok := e.serving(ctx); ok {
		defer remote.Close()
		self, err := remote.Self(ctx)
		if err != nil {
			return err
		}
		return printDiagnosis(e, diagnose.Here(self, true))
	}
	c, err := r.controller(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	self, err := c.Self(ctx)
	if err != nil {
		return err
	}
	return printDiagnosis(e, diagnose.Here(self, false))
}

func printDiagnosis(e *env, d diagnose.Diagnosis) error {
	if e.JSON {
		for _, f := range d.Findings {
			if err := e.PrintJSON(f); err != nil {
				return err
			}
		}
		return nil
	}
	t := e.Stdout.Table()
	marks := map[diagnose.Level]string{diagnose.LevelOK: " ", diagnose.LevelWarn: "!", diagnose.LevelFail: "x"}
	for _, f := range d.Findings {
		t.Row(output.Whole(marks[f.Level]+" "+f.Check), output.Whole(f.Text))
		if f.Next != "" {
			t.Row("", output.Whole("  next: "+f.Next))
		}
	}
	return t.Flush()
}
