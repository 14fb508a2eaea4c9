package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/process"
)

func newWorkerCommand(e *env) *cobra.Command {
	var (
		cfg    agent.WorkerConfig
		allow  []string
		local  netflags.Local
		health string
	)
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the worker of this machine",
		Long: `Run the worker of this machine. In a fleet (swarm join) it takes commands from the members whose grants
permit them; otherwise only from the peers named with --allow. It runs only what its policy file allows
("swarm join --enable" writes it, and SIGHUP makes the worker read it again), and what --enable adds for
this run. Workloads run with the rights of the worker, so avoid running it as root.

The first lines show the worker's peer ID and its addresses.`,
		Example: `  swarm worker
  swarm worker --allow 12D3KooW… --enable miner=refpow,deploy
  swarm worker --bootstrap /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --allow 12D3KooW… --enable miner=xmrig`,
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
			return worker(cmd.Context(), e, cfg, health)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Name, "name", "", "the name that the worker reports (default: the host name)")
	f.StringArrayVar(&cfg.Bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	f.StringSliceVar(&allow, "allow", nil, "`PEER` ID that may command this worker; may be repeated")
	f.StringSliceVar(&cfg.Enable, "enable", nil,
		"`WHAT` may run here: miner=NAME (refpow, xmrig), deploy; may be repeated")
	f.StringVar(&cfg.XMRig, "xmrig", "",
		"`PATH` of the xmrig program (default: looked for in PATH); swarm never downloads a miner")
	netflags.Listen(f, &cfg.Listen, &cfg.Net)
	f.BoolVar(&cfg.Net.Relay, "relay", false, "pass connections on for other members, beside the worker's own work")
	f.BoolVar(&cfg.Net.Seed, "seed", false,
		"tell newcomers the addresses of others; for networks without a fleet, as relays do there, too")
	cfg.Net.Hint = Hint
	netflags.Net(f, &cfg.Net)
	netflags.Health(f, &health)
	local.Flags(f, "announce the worker in the local network, and look for others there, by mDNS")
	f.DurationVar(&cfg.StatsEvery, "stats-every", agent.DefaultStatsEvery,
		"how often stats are pushed while somebody listens")
	return cmd
}

func parsePeerIDs(words []string) (out []peer.ID, err error) {
	for _, w := range words {
		id, err := peer.Decode(w)
		if err != nil {
			return nil, fmt.Errorf("--allow %q: not a peer ID; \"swarm id\" on the controller prints one", w)
		}
		out = append(out, id)
	}
	return out, nil
}

func worker(ctx context.Context, e *env, cfg agent.WorkerConfig, health string) (err error) {
	if cfg.StatsEvery < 100*time.Millisecond {
		return fmt.Errorf("--stats-every %v: want 100ms at least", cfg.StatsEvery)
	}
	if cfg.StateDir, err = e.stateDir(agent.RoleWorker); err != nil {
		return err
	}
	w, err := agent.NewWorker(cfg)
	if err != nil {
		return err
	}
	var hangups sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer hangups.Wait()
	defer cancel()
	hangups.Go(func() {
		if e.ask.Present() {
			return // there it means that the terminal was closed, and the worker ends with it
		}
		process.OnHangup(ctx, func() {
			if err := w.ReloadPolicy(); err != nil {
				e.log.Error("the policy stays as it was", "err", err)
				return
			}
			e.log.Info("the policy was read again")
		})
	})
	return runNode(ctx, w, health, func() error { return printReady(e, w, cfg) })
}

func printReady(e *env, w *agent.Worker, cfg agent.WorkerConfig) error {
	addrs, err := w.Addrs()
	if err != nil {
		return err
	}
	ready := readyLine{"ready", w.Node.ID(), addrs}
	return e.Print(ready, func() error {
		e.Stdout.Printf("worker %s is ready at\n", w.Node.ID())
		for _, addr := range addrs {
			e.Stdout.Println("  " + addr)
		}
		if fleet, name := w.Fleet(); fleet != "" {
			e.Stdout.Printf("It is %s in the fleet %s.\n", name, fleet)
		} else if len(cfg.Allow) == 0 {
			e.Stdout.Println("Nobody may command it: start it with --allow and the ID that \"swarm id\" prints at your " +
				"controller.")
		}
		_, err := e.Stdout.Printf("What may run here: %s. Workloads run with the rights of this process.\n", w.MayRun())
		return err
	})
}

// refpowCommand is how the worker starts the refpow miner: as a child process
// of the same program. Its flags are the miner's own.
func newRefpowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:                agent.RefpowCommand,
		Short:              "Run the refpow miner (started by the worker)",
		Example:            "  swarm " + agent.RefpowCommand + " --config FILE",
		DisableFlagParsing: true,
		PersistentPreRunE:  func(*cobra.Command, []string) error { return nil }, // settings are not for it
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := agent.RunRefpow(cmd.Context(), args, e.Stdout, e.Stderr); code != 0 {
				return &codeError{code: code}
			}
			return nil
		},
	}
}
