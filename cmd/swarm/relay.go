package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/reload"
)

func newRelayCommand(e *env) *cobra.Command {
	var r relayFlags
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay, by which machines find and reach each other",
		Long: `Run a relay, on a machine that all others can reach: a rented server, or one behind a forwarded port.
Machines behind NATs find each other through it, connect directly if their NATs permit, and otherwise
talk through it. It serves the members of its fleet (swarm join) and nobody else, takes no commands, and
cannot read what it passes on. Two relays are better than one.

Without a fleet it serves the peers named with --allow. At SIGHUP it reads the configuration file again:
--allow and --log-level change while it runs.`,
		Example: `  swarm relay
  swarm relay --external /ip4/203.0.113.5/tcp/4747
  swarm relay --allow 12D3KooW…,12D3KooW…`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			r.cfg.Logger = e.Log
			if r.cfg.Allow, err = parsePeerIDs(r.allow); err != nil {
				return err
			}
			r.cfg.MDNS = r.local.MDNS
			if r.cfg.Beacon, err = r.local.Beacon(); err != nil {
				return err
			}
			return relay(cmd, e, r.cfg, r.health)
		},
	}
	r.declare(cmd.Flags())
	return cmd
}

// relayFlags are what the flags of relay say.
type relayFlags struct {
	cfg    agent.RelayConfig
	allow  []string
	local  netflags.Local
	health string
}

func (r *relayFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&r.cfg.Name, "name", "", "the name that the relay reports if it belongs to no fleet")
	f.StringArrayVar(&r.cfg.Bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	f.StringSliceVar(&r.allow, "allow", nil, "`PEER` ID that the relay serves; may be repeated")
	r.local.Flags(f, "announce the relay in the local network, and look for others there, by mDNS")
	netflags.Listen(f, &r.cfg.Listen, &r.cfg.Net)
	r.cfg.Net.Hint = hints.For
	netflags.Net(f, &r.cfg.Net)
	netflags.Health(f, &r.health)
}

// freshRelay declares the flags anew for a relay that runs, and returns what takes over their values.
func freshRelay(e *env, r *agent.Relay) func(*pflag.FlagSet) map[string]func() error {
	return func(f *pflag.FlagSet) map[string]func() error {
		var fresh relayFlags
		fresh.declare(f)
		take := e.FreshFlags(f)
		take["allow"] = takeAllowed(&fresh.allow, r.SetAllowed)
		return take
	}
}

func relay(cmd *cobra.Command, e *env, cfg agent.RelayConfig, health string) (err error) {
	if cfg.StateDir, err = e.StateDir(agent.RoleRelay); err != nil {
		return err
	}
	release, err := take(cfg.StateDir, agent.RoleRelay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	r, err := agent.NewRelay(cfg)
	if err != nil {
		return err
	}
	ctx, stop := onHangup(cmd, e, reload.Node{Fresh: freshRelay(e, r)})
	defer stop()
	return runNode(ctx, r, health, func() error { return printRelay(e, r, cfg) })
}

func printRelay(e *env, r *agent.Relay, cfg agent.RelayConfig) error {
	addrs, err := r.Addrs()
	if err != nil {
		return err
	}
	ready := readyLine{"ready", r.Node.ID(), addrs}
	return e.Print(ready, func() error {
		e.Stdout.Printf("relay %s is ready at\n", ready.Peer)
		for _, addr := range addrs {
			e.Stdout.Println("  " + addr)
		}
		switch fleet, name := r.Fleet(); {
		case fleet != "":
			e.Stdout.Printf("It is %s in the fleet %s, and serves its members.\n", name, fleet)
		case len(cfg.Allow) == 0:
			e.Stdout.Println("It serves nobody: join a fleet (swarm join), or name peers with --allow.")
		default:
			e.Stdout.Printf("It belongs to no fleet, and serves %d named peers.\n", len(cfg.Allow))
		}
		return nil
	})
}
