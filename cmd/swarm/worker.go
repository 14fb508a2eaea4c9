package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/agentlog"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/reload"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// workerFlags are what the flags of worker say.
type workerFlags struct {
	cfg    agent.WorkerConfig
	allow  []string
	local  netflags.Local
	health string
}

func newWorkerCommand(e *env) *cobra.Command {
	var w workerFlags
	cmd := &cobra.Command{
		Use:        "worker",
		SuggestFor: []string{"agent", "daemon"},
		Short:      "Run the worker of this machine",
		Long: `Run the worker of this machine. In a fleet (swarm join) it takes commands from the members whose grants
permit them; otherwise only from the peers named with --allow. It runs only what its policy file allows
("swarm join --enable" writes it), and what --enable adds for this run. Workloads run with the rights of
the worker, so avoid running it as root.

At SIGHUP it reads the policy file and the configuration file again. --enable, --allow, --stats-every and
--log-level change while it runs; the log says which other settings need a restart.

The first lines show the worker's peer ID and its addresses.`,
		Example: `  swarm worker
  swarm worker --allow 12D3KooW… --enable miner=refpow,deploy
  swarm worker --bootstrap /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… --allow 12D3KooW… --enable miner=xmrig`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			w.cfg.Logger = e.Log
			if w.cfg.Allow, err = parsePeerIDs(w.allow); err != nil {
				return err
			}
			w.cfg.MDNS = w.local.MDNS
			if w.cfg.Beacon, err = w.local.Beacon(); err != nil {
				return err
			}
			return worker(cmd, e, w.cfg, w.health)
		},
	}
	w.declare(cmd.Flags())
	return cmd
}

func (w *workerFlags) declare(f *pflag.FlagSet) {
	cfg := &w.cfg
	f.StringVar(&cfg.Name, "name", "", "the name that the worker reports (default: the host name)")
	f.StringArrayVar(&cfg.Bootstrap, "bootstrap", nil,
		"`MADDR` of a node to begin with, ending in /p2p/…; may be repeated")
	f.StringSliceVar(&w.allow, "allow", nil, "`PEER` ID that may command this worker; may be repeated")
	f.StringSliceVar(&cfg.Enable, "enable", nil,
		"`WHAT` may run here: miner=NAME (refpow, xmrig), for which pool=HOST[:PORT] or wallet=NAME only; "+
			"deploy or deploy=NAME; run (any command); workload (any command, to stay); power (reboot, shutdown); forward=HOST:PORT (connections there); cp=DIR (copies from and to it); may be repeated")
	f.StringVar(&cfg.XMRig, "xmrig", "",
		"`PATH` of the xmrig program (default: looked for in PATH); swarm never downloads a miner")
	f.BoolVar(&cfg.KeepWorkloads, "keep-workloads", false,
		"workloads go on when the worker is stopped by SIGTERM or killed, and the next one goes on with them (Linux); Ctrl-C stops them")
	netflags.Listen(f, &cfg.Listen, &cfg.Net)
	f.BoolVar(&cfg.Net.Relay, "relay", false, "pass connections on for other members, beside the worker's own work")
	f.BoolVar(&cfg.Net.Seed, "seed", false,
		"tell newcomers the addresses of others; for networks without a fleet, as relays do there, too")
	cfg.Net.Hint = hints.For
	netflags.Net(f, &cfg.Net)
	netflags.Health(f, &w.health)
	w.local.Flags(f, "announce the worker in the local network, and look for others there, by mDNS")
	span.Var(f, &cfg.StatsEvery, "stats-every", agent.DefaultStatsEvery,
		"how often stats are pushed while somebody listens")
}

// fresh declares the flags anew for a worker that runs, and returns what takes over their values.
func freshWorker(e *env, w *agent.Worker) func(*pflag.FlagSet) map[string]func() error {
	return func(f *pflag.FlagSet) map[string]func() error {
		var fresh workerFlags
		fresh.declare(f)
		take := e.FreshFlags(f)
		take["enable"] = func() error { return w.SetEnabled(fresh.cfg.Enable...) }
		take["allow"] = takeAllowed(&fresh.allow, w.SetAllowed)
		take["stats-every"] = func() error {
			if err := checkStatsEvery(fresh.cfg.StatsEvery); err != nil {
				return err
			}
			w.SetStatsEvery(fresh.cfg.StatsEvery)
			return nil
		}
		return take
	}
}

// takeAllowed takes over the peers of --allow.
func takeAllowed(words *[]string, set func(...peer.ID) error) func() error {
	return func() error {
		peers, err := parsePeerIDs(*words)
		if err != nil {
			return err
		}
		return set(peers...)
	}
}

func checkStatsEvery(d time.Duration) error {
	if d < 100*time.Millisecond {
		return fmt.Errorf("--stats-every %v: want 100ms at least", d)
	}
	return nil
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

func worker(cmd *cobra.Command, e *env, cfg agent.WorkerConfig, healthAt string) (err error) {
	if err := checkStatsEvery(cfg.StatsEvery); err != nil {
		return err
	}
	if cfg.StateDir, err = e.StateDir(agent.RoleWorker); err != nil {
		return err
	}
	release, err := take(cfg.StateDir, agent.RoleWorker)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if health.UnderSystemd() && !console.InFleet(cfg.StateDir) && len(cfg.Allow) == 0 {
		e.Log.Warn("nobody may command this machine, so its service has nothing to do and stops: join a fleet " +
			"(sudo swarm join - --service), or name peers with --allow; or: sudo swarm service uninstall")
		return runNode(cmd.Context(), idle{}, "", func() error { return nil })
	}
	if l, err := agentlog.Open(cfg.StateDir); err == nil {
		defer l.Close()
		cfg.AgentLog, cfg.Logger = l, agentlog.Logger(cfg.Logger, l)
	} else {
		cfg.Logger.Warn("what the worker logs is not kept for its owner", "err", err)
	}
	w, err := agent.NewWorker(cfg)
	if err != nil {
		return err
	}
	ctx, stop := onHangup(cmd, e, reload.Node{Fresh: freshWorker(e, w), Files: w.ReloadPolicy})
	defer stop()
	return runNode(ctx, w, healthAt, func() error { return printReady(e, w, cfg) })
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
		Hidden:             true,
		Example:            "  swarm " + agent.RefpowCommand + " --config FILE",
		DisableFlagParsing: true,
		// Settings do not apply to it.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := agent.RunRefpow(cmd.Context(), args, e.Stdout, e.Stderr); code != 0 {
				return &console.Exit{Code: code}
			}
			return nil
		},
	}
}
