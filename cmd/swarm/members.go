package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newMembersCommand(e *env) *cobra.Command {
	var (
		wide bool
		on   string
	)
	cmd := &cobra.Command{
		Use:        "members",
		SuggestFor: []string{"users", "fleet"},
		Short:      "Show who belongs to the fleet, with what rights and until when",
		Long: `Show who belongs to the fleet, with what rights and until when. A right that a member has in addition,
on some machines or for a while, has a line of its own below.`,
		Example: "  swarm members\n  swarm members --on site=cabin\n  swarm members --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			nodes, err := console.Nodes(e, console.InFleet)
			if err != nil {
				return err
			}
			switch {
			case len(nodes) == 0:
				s := signing.New(e)
				_, err := s.Admin()
				return err // says what to do
			case nodes[0].Owner.Other:
				return console.AsOwner(cmd.Context(), e, cmd, args, nodes[0])
			}
			adm, err := admin.OpenAdmin(nodes[0].Dir, e.Log)
			if err != nil {
				return err
			}
			lines, err := connect.Fitting(on, signing.Members(adm), func(m signing.Member) map[string]string { return m.Labels })
			if err != nil {
				return err
			}
			return output.PrintList(&e.Std, lines, func() error { return signing.ListMembers(e.Stdout, wide, lines) })
		},
	}
	connect.OnFlag(cmd.Flags(), &on)
	cmd.Flags().BoolVar(&wide, "wide", false, "all columns, however narrow the terminal is")
	return cmd
}
