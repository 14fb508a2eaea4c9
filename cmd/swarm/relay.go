package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/netflags"
)

func newRelayCommand(e *env) *cobra.Command {
	var (
		cfg    agent.RelayConfig
		allow  []string
		local  netflags.Local
		health string
	)
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay: a machine by which the others find and reach each other",
		Long: `Run a relay, on a machine that all others can reach: a rented server, or one behind a forwarded port.
Machines behind NATs find each other through it, connect directly if their NATs permit, and otherwise
talk through it. It serves the members of its fleet (swarm join) and nobody else, takes no commands, and
cannot read what it passes on. Two relays are better than one.

Without a fleet it serves the peers named with --allow.`,
		Example: `  swarm relay
  swarm relay --external /ip4/203.0.113.5/tcp/4747
  swarm relay --allow 12D3KooW…,12D3KooW…`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg.Logger = e.log
			if cfg.Allow, err = parsePeerIDs(allow); err != nil {
				return err
			}
			cfg.MDNS = local.MDNS
			if cfg.Beacon, err = local.Beacon(); err != nil {
				return err
			}
			return relay(cmd.Context(), e, cfg, health)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Name, "name", "", "the name that the relay reports if it belongs to no fleet")
	f.StringArrayVar(&cfg.Bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	f.StringSliceVar(&allow, "allow", nil, "`PEER` ID that the relay serves; may be repeated")
	local.Flags(f, "announce the relay in the local network, and look for others there, by mDNS")
	netflags.Listen(f, &cfg.Listen, &cfg.Net)
	cfg.Net.Hint = Hint
	netflags.Net(f, &cfg.Net)
	netflags.Health(f, &health)
	return cmd
}

func relay(ctx context.Context, e *env, cfg agent.RelayConfig, health string) (err error) {
	if cfg.StateDir, err = e.stateDir(agent.RoleRelay); err != nil {
		return err
	}
	r, err := agent.NewRelay(cfg)
	if err != nil {
		return err
	}
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
