package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

func newLeaveCommand(e *env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take this machine out of its fleet",
		Long: `Take this machine out of its fleet: it forgets its grant and all members, and the fleet may no longer
do anything here. This needs nobody's consent and no network. A running worker ends; its policy file
and identity stay.`,
		Example: "  swarm leave\n  swarm leave --state /var/lib/swarm/worker --yes",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := e.stateDirs(inFleet)
			if err != nil {
				return err
			}
			switch len(dirs) {
			case 0:
				return trust.ErrNoFleet
			case 1:
			default:
				return fmt.Errorf("several nodes of this machine are in a fleet: say which one leaves, with --state: %s",
					strings.Join(dirs, ", "))
			}
			if !yes {
				ok, err := e.ask.Confirm(fmt.Sprintf("Leave the fleet, in %s?", dirs[0]), !e.ask.Present())
				if err != nil || !ok {
					return err
				}
			}
			if err := trust.LeaveFleet(fleetdir.Dir(dirs[0])); err != nil {
				return err
			}
			return e.Print(changeLine{Event: "left"}, func() error {
				_, err := e.Stdout.Println("This machine has left its fleet.")
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
