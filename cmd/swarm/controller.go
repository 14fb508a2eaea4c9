package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
)

func (a *app) controllerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Ask and command your machines",
		Example: `  swarm controller exec get_stats --all
  swarm controller watch`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.execCommand(), a.watchCommand(), a.serveCommand())
	return cmd
}

// reach are the flags of all commands that connect to machines.
type reach struct {
	bootstrap []string
	localNet
	net agent.NetConfig
}

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.bootstrap, "bootstrap", nil, "`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	r.localNet.flags(cmd.Flags(), "look for machines in the local network, by mDNS")
	netFlags(cmd, &r.net)
}

// config is a controller that reaches machines as the flags say.
func (r *reach) config(dir string, log *slog.Logger) (cfg agent.ControllerConfig, err error) {
	cfg = agent.ControllerConfig{StateDir: dir, Bootstrap: r.bootstrap, MDNS: r.mdns, Net: r.net, Logger: log}
	cfg.Beacon, err = r.beacon()
	return cfg, err
}

// commander does the jobs of this command: the long-lived controller of this
// machine where one serves and no --bootstrap asks for another way, else a
// controller of our own.
func (a *app) commander(ctx context.Context, r reach, watch bool) (control.Commander, error) {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	own := func() (*agent.Controller, error) { return a.controller(r, watch) }
	if len(r.bootstrap) > 0 {
		return own()
	}
	return control.Open(ctx, dir, own)
}

// controller makes the controller of this command.
func (a *app) controller(r reach, watch bool) (*agent.Controller, error) {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	cfg, err := r.config(dir, a.log)
	if err != nil {
		return nil, err
	}
	if watch {
		return agent.Started(agent.NewWatch(cfg))
	}
	return agent.Started(agent.NewCommand(cfg))
}

// selection are the flags that say which machines are meant.
type selection struct{ agent.Selection }

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.All, "all", false, "all saved machines; to read, also those found within --wait")
	f.StringVar(&s.On, "on", "", "saved machines with these labels: `KEY=VALUE`, several joined by commas")
	f.IntVar(&s.Best, "best", 0, "the best `N` of the saved machines, by score and round trip")
	f.DurationVar(&s.Wait, "wait", defaultWait, "how long --all looks for machines that are not saved")
	cmd.MarkFlagsMutuallyExclusive("all", "on", "best")
}
