package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/netflags"
)

func newRootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "swarm",
		Short: "Control the machines you own, peer to peer",
		Long: `swarm controls the machines you own, peer to peer: behind NATs, across sites, with no server in the
middle and no account.

Each machine runs "swarm worker". You run "swarm controller exec". A worker obeys only the members of
your fleet that may command it, or the peers named with --allow, and runs only what its owner enabled
with --enable.

Every flag can also be set by an environment variable (--log-level is SWARM_LOG_LEVEL) or in the
configuration file. The command line comes first, then the environment, then the file.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none succeeded; 3 some succeeded;
4 none could be reached; 5 all refused for lack of rights.`,
		Example: `  swarm demo                        # see all of it on this machine, in half a minute
  swarm id                          # the peer ID of this controller
  swarm worker --allow PEER --enable miner=refpow,deploy
  swarm controller exec get_stats --all --bootstrap /ip4/192.0.2.7/tcp/4747/p2p/PEER`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return e.prepare(cmd) },
		Args:              noArgs,
		RunE:              help,
	}
	f := root.PersistentFlags()
	f.StringVar(&e.state, "state", "",
		"`DIR` that holds everything of this node (default: /var/lib/swarm/… as root, else in $XDG_STATE_HOME)")
	f.StringVar(&e.config, "config", "",
		"YAML configuration `FILE` (default: $XDG_CONFIG_HOME/swarm/config.yaml, else /etc/swarm/config.yaml)")
	f.StringVar(&e.logLevel, "log-level", "",
		"what to log on standard error: debug, info, warn or error (default: info for a worker, else warn)")
	f.BoolVar(&e.JSON, "json", false, "print one JSON object a line instead of text")
	for _, add := range []func(*env) *cobra.Command{
		newWorkerCommand, newControllerCommand, newRelayCommand, newIDCommand, newPeersCommand, newPingCommand,
		newEventsCommand, newDoctorCommand, newInfoCommand, newVersionCommand, newInitCommand, newInviteCommand,
		newJoinCommand, newMembersCommand, newGrantCommand, newRevokeCommand, newRenameCommand, newLabelCommand,
		newRenewCommand, newAuditCommand, newLeaveCommand, newStatusCommand, newKeyCommand, newDemoCommand, newRefpowCommand,
	} {
		root.AddCommand(add(e))
	}
	return root
}

// help is what a command does that only groups others.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noArgs refuses arguments with a hint: most often they are a mistyped command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("unknown command %q for %q; see: %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	if f := cmd.Flags().Lookup(netflags.HealthName); f != nil && f.Changed && f.Value.String() == f.NoOptDefVal {
		return fmt.Errorf("%q stands alone; an address for --%s comes after an equals sign: --%s=%s",
			args[0], f.Name, f.Name, args[0])
	}
	return fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
}
