package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newLabelCommand(e *env) *cobra.Command {
	s := signing.New(e)
	cmd := &cobra.Command{
		Use:     "label NAME|PEER KEY=VALUE… KEY-…",
		Short:   "Set a member's labels; KEY- removes one",
		Example: "  swarm label rig-01 gpu=4090 site=cabin spare-",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.Give(cmd.Context(), args[0], "labelled", admin.Change{}, func(g *trust.Grant) (err error) {
				g.Labels, err = admin.ChangeLabels(g.Labels, args[1:])
				return err
			})
		},
	}
	s.YesFlag(cmd.Flags())
	s.Flags(cmd.Flags())
	return cmd
}
