package main

import (
	"github.com/spf13/cobra"
)

func newControllerCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Ask and command your machines",
		Example: `  swarm controller exec get_stats --all
  swarm controller watch`,
		Args: noArgs,
		RunE: help,
	}
	cmd.AddCommand(newExecCommand(e), newWatchCommand(e), newServeCommand(e))
	return cmd
}
