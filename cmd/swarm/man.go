package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/buildinfo"
	"github.com/seed-b490fa12/swarm/internal/manual"
)

func newManCommand(*env) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages, one for each command",
		Long: `Write the manual pages into DIR, one for each command: swarm.1, swarm-stats.1 and so on. DIR is made
if it is not there.`,
		Example: "  swarm man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the directory of the pages: %w", err)
			}
			build := buildinfo.Read(version)
			date, err := time.Parse(time.RFC3339, build.Date)
			if err != nil {
				date = time.Now() // of a build that does not know its commit
			}
			return manual.Write(cmd.Root(), args[0], build.Version, date)
		},
	}
}
