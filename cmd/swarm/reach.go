package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/netflags"
)

// reach are the flags of all commands that connect to machines.
type reach struct {
	bootstrap []string
	local     netflags.Local
	net       agent.NetConfig
}

func (r *reach) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&r.bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	r.local.Flags(f, "look for machines in the local network, by mDNS")
	r.net.Hint = Hint
	netflags.Net(f, &r.net)
}

// config is a controller that reaches machines as the flags say.
func (r *reach) config(dir string, log *slog.Logger) (cfg agent.ControllerConfig, err error) {
	cfg = agent.ControllerConfig{StateDir: dir, Bootstrap: r.bootstrap, MDNS: r.local.MDNS, Net: r.net, Logger: log}
	cfg.Beacon, err = r.local.Beacon()
	return cfg, err
}

// serving returns the controller that serves on this machine, if one does. No other function dials
// it.
func (e *env) serving(ctx context.Context) (control.Commander, bool) {
	dir, err := e.stateDir(agent.RoleController)
	if err != nil {
		return nil, false
	}
	return control.Dial(ctx, dir)
}

// newController is one of the constructors of package agent.
type newController func(agent.ControllerConfig) (*agent.Controller, error)

// commander returns what does the jobs of a command: the controller that serves here, unless
// --bootstrap asks for another way, else one of our own.
func (r *reach) commander(ctx context.Context, e *env, own newController) (control.Commander, error) {
	if len(r.bootstrap) == 0 {
		if c, ok := e.serving(ctx); ok {
			return c, nil
		}
	}
	return r.start(e, own)
}

// controller returns a controller of our own for one command.
func (r *reach) controller(e *env) (*agent.Controller, error) { return r.start(e, agent.NewCommand) }

func (r *reach) start(e *env, own newController) (*agent.Controller, error) {
	dir, err := e.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	cfg, err := r.config(dir, e.log)
	if err != nil {
		return nil, err
	}
	return agent.Started(own(cfg))
}

const defaultWait = 3 * time.Second

// selection are the flags that choose machines.
type selection struct{ agent.Selection }

func (s *selection) flags(cmd *cobra.Command, f *pflag.FlagSet) {
	f.BoolVar(&s.All, "all", false, "all saved machines; to read, also those found within --wait")
	f.StringVar(&s.On, "on", "", "saved machines with these labels: `KEY=VALUE`, several joined by commas")
	f.IntVar(&s.Best, "best", 0, "the best `N` of the saved machines, by score and round trip")
	f.DurationVar(&s.Wait, "wait", defaultWait, "how long --all looks for machines that are not saved")
	cmd.MarkFlagsMutuallyExclusive("all", "on", "best")
}
