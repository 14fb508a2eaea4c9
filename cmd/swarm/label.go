package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
)

func newLabelCommand(e *env) *cobra.Command {
	s := newSigning(e)
	cmd := &cobra.Command{
		Use:     "label NAME|PEER KEY=VALUE… KEY-…",
		Short:   "Set a member's labels; KEY- removes one",
		Example: "  swarm label rig-01 gpu=4090 site=cabin spare-",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.give(cmd.Context(), args[0], "labelled", admin.Change{}, func(g *trust.Grant) (err error) {
				g.Labels, err = admin.ChangeLabels(g.Labels, args[1:])
				return err
			})
		},
	}
	s.flags(cmd.Flags())
	return cmd
}
