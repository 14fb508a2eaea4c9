package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
)

func newRenameCommand(e *env) *cobra.Command {
	s := newSigning(e)
	cmd := &cobra.Command{
		Use:     "rename NAME|PEER NEW",
		Short:   "Give a member another name",
		Example: "  swarm rename rig-01 cabin-01",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.give(cmd.Context(), args[0], "renamed", admin.Change{}, func(g *trust.Grant) error {
				g.Name = args[1]
				return nil
			})
		},
	}
	s.flags(cmd.Flags())
	return cmd
}
