// Package connect has the flags by which commands connect to machines and choose them, and what does
// their jobs: the controller that serves here, or one of their own.
package connect

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/internal/span"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// Reach are the flags of all commands that connect to machines.
type Reach struct {
	Bootstrap []string
	Net       agent.NetConfig
	local     netflags.Local
}

// Flags declares them.
func (r *Reach) Flags(f *pflag.FlagSet) { usage.Group(f, usage.Network, r.flags) }

func (r *Reach) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&r.Bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	r.local.Flags(f, "look for machines in the local network, by mDNS")
	r.Net.Hint = hints.For
	netflags.Net(f, &r.Net)
}

// Config is a controller that reaches machines as the flags say.
func (r *Reach) Config(dir string, log *slog.Logger) (cfg agent.ControllerConfig, err error) {
	cfg = agent.ControllerConfig{StateDir: dir, Bootstrap: r.Bootstrap, MDNS: r.local.MDNS, Net: r.Net, Logger: log}
	cfg.Beacon, err = r.local.Beacon()
	return cfg, err
}

// newController is one of the constructors of package agent.
type newController func(agent.ControllerConfig) (*agent.Controller, error)

// Commander returns what does the jobs of a command: the controller that serves here, unless
// --bootstrap asks for another way, else one of our own.
func (r *Reach) Commander(ctx context.Context, e *console.Env) (control.Commander, error) {
	if len(r.Bootstrap) == 0 {
		if c, ok := e.Serving(ctx); ok {
			return c, nil
		}
	}
	return r.Controller(e)
}

// Watcher returns what a watch listens to: the controller that serves here, unless --bootstrap asks
// for another way, else one of our own. One that serves and does not answer is an error: pubsub
// keeps one stream for each peer ID, which might end there.
func (r *Reach) Watcher(ctx context.Context, e *console.Env) (control.Commander, error) {
	if len(r.Bootstrap) == 0 {
		switch c, err := e.Served(ctx); {
		case err == nil:
			return c, nil
		case !errors.Is(err, control.ErrNobody):
			return nil, err
		}
	}
	return r.start(e, agent.NewWatch)
}

// Controller returns a controller of our own for one command.
func (r *Reach) Controller(e *console.Env) (*agent.Controller, error) {
	return r.start(e, agent.NewCommand)
}

func (r *Reach) start(e *console.Env, own newController) (*agent.Controller, error) {
	dir, err := e.StateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	cfg, err := r.Config(dir, e.Log)
	if err != nil {
		return nil, err
	}
	return agent.Started(own(cfg))
}

const defaultWait = 3 * time.Second

// Choice are the flags that choose machines.
type Choice struct{ agent.Selection }

// Name chooses machines by name, unless a flag has chosen others.
func (s *Choice) Name(names []string) error {
	s.Names = names
	if len(names) > 0 && s.Chosen() {
		return errors.New("name machines, or use --all, --on or --best, not both")
	}
	return nil
}

// Chosen reports whether a flag has chosen machines.
func (s *Choice) Chosen() bool { return s.All || s.On != "" || s.Best > 0 }

// Flags declares them on cmd, or on a set of flags that cmd shares.
func (s *Choice) Flags(cmd *cobra.Command, f *pflag.FlagSet) {
	usage.Group(f, usage.Machines, s.flags)
	cmd.MarkFlagsMutuallyExclusive("all", "on", "best")
}

func (s *Choice) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.All, "all", false, "all saved machines; to read, also those found within --wait")
	f.Var(selector.Value{Text: &s.On}, "on", "saved machines whose labels fit a `SELECTOR`: KEY=VALUE, KEY!=VALUE, "+
		"\"KEY in (A,B)\" or KEY; several are joined by commas or by repeating --on, and all must fit")
	f.IntVar(&s.Best, "best", 0, "the best `N` of the saved machines, by score and round trip")
	span.Var(f, &s.Wait, "wait", defaultWait, "how long --all looks for machines that are not saved")
}
