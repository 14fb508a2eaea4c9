package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newRenameCommand(e *env) *cobra.Command {
	s := signing.New(e)
	cmd := &cobra.Command{
		Use:     "rename NAME|PEER NEW",
		Short:   "Give a member another name",
		Example: "  swarm rename rig-01 cabin-01",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.Give(cmd.Context(), args[0], "renamed", admin.Change{}, func(g *trust.Grant) error {
				g.Name = args[1]
				return nil
			})
		},
	}
	s.YesFlag(cmd.Flags())
	s.Flags(cmd.Flags())
	return cmd
}
