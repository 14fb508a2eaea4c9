package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/demo"
)

func newDemoCommand(e *env) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show all of it on this machine, in half a minute",
		Long: `Start a mining pool on loopback, three workers and a controller as processes of their own in a
temporary directory, and walk through the main job: stats, mining real shares, pushed stats, logs, a
deployment, stopping, and refusing a stranger. Nothing is installed, nothing leaves this machine, and
everything is removed at the end.`,
		Example: `  swarm demo
  swarm demo --json | tail -n 1`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo.Run(cmd.Context(), &e.Std, keep) },
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the temporary directory")
	return cmd
}
