package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newLeaveCommand(e *env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take this machine out of its fleet",
		Long: `Take this machine out of its fleet: it forgets its grant and all members, and the fleet may no longer
do anything here. This needs nobody's consent and no network. A running worker ends; its policy file
and identity stay, and so does a root key. What is lost is named before the question.`,
		Example: "  swarm leave\n  swarm leave --state /var/lib/swarm/worker --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			nodes, err := console.Nodes(e, console.InFleet)
			if err != nil {
				return err
			}
			var dirs []string
			for _, n := range nodes {
				dirs = append(dirs, n.Dir)
			}
			switch {
			case len(dirs) == 0:
				return trust.ErrNoFleet
			case len(dirs) > 1:
				return fmt.Errorf("several nodes of this machine are in a fleet: say which one leaves, with --state: %s",
					strings.Join(dirs, ", "))
			case nodes[0].Owner.Other:
				return console.AsOwner(cmd.Context(), e, cmd, args, nodes[0])
			}
			if !yes {
				if err := confirmLeave(e, dirs[0]); err != nil {
					return err
				}
			}
			if err := trust.LeaveFleet(fleetdir.Dir(dirs[0])); err != nil {
				return err
			}
			if _, err := agent.EndWorkloads(dirs[0]); err != nil { // a worker that runs ends its own
				return fmt.Errorf("this machine has left its fleet, but what its worker has left running does not end: %w", err)
			}
			return e.Print(signing.Change{Event: "left"}, func() error {
				_, err := e.Stdout.Println("This machine has left its fleet. A service of it here stops, and stays stopped. Next, if you like: swarm join, " +
					"or sudo swarm service uninstall")
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmLeave names what is lost, and asks.
func confirmLeave(e *env, dir string) error {
	adm, err := admin.OpenAdmin(dir, e.Log)
	if err != nil { // then it is the way out of a fleet that cannot be read
		e.Stderr.Printf("swarm: what is lost cannot be told: %s\n", err)
	} else {
		e.Stderr.Printf("To leave the fleet %s, in %s, means:\n", adm.Fleet.Name(), dir)
		for _, l := range adm.Losses() {
			e.Stderr.Printf("  - %s\n", output.Whole(l))
		}
	}
	switch ok, err := e.Ask.Confirm("Leave the fleet?"); {
	case err != nil:
		return fmt.Errorf("not left: %w", err)
	case !ok:
		return errors.New("not left")
	}
	return nil
}
