package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/complete"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/cpcli"
	"github.com/seed-b490fa12/swarm/internal/forwardcli"
	"github.com/seed-b490fa12/swarm/internal/meant"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/pingcli"
	"github.com/seed-b490fa12/swarm/internal/powercli"
	"github.com/seed-b490fa12/swarm/internal/servicecli"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// env is what all commands share.
type env = console.Env

func newRootCommand(e *env) *cobra.Command {
	showVersion := false
	root := &cobra.Command{
		Use:   "swarm",
		Short: "Control the machines you own, peer to peer",
		Long: `swarm controls the machines you own, peer to peer: behind NATs, across sites, with no server in the
middle and no account.

Your machines are a fleet. "swarm init" makes it, here; "swarm invite NAME" prints a ticket, with which
"swarm join" lets a machine in. There "swarm worker" runs, obeys the members whose grants permit it, and
runs only what its owner enabled. From then on, here: swarm stats, logs, start, stop, deploy.

Every flag can also be set by an environment variable (--log-level is SWARM_LOG_LEVEL) or in the
configuration file. The command line comes first, then the environment, then the file.

Exit codes: 0 all succeeded; 1 usage, unknown name or local error; 2 none succeeded; 3 some succeeded;
4 none could be reached; 5 all refused for lack of rights.`,
		Example: `  swarm demo                               # all of it here, in half a minute
  swarm init                               # make a fleet, on your laptop
  swarm invite rig-01 --label gpu=3080     # print a ticket for a machine
  swarm join - --enable miner=xmrig,deploy # on that machine: paste the ticket
  swarm worker                             # on that machine
  swarm stats --all
  swarm logs rig-01 --follow`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return e.Prepare(cmd) },
		Args:              noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return printVersion(e)
			}
			return cmd.Help()
		},
	}
	e.Flags(root.PersistentFlags())
	root.Flags().BoolVar(&showVersion, "version", false, "print the version of the program")
	usage.Install(root)
	addCommands(root, e)
	meant.Install(root)
	complete.Install(root, e, completions())
	return root
}

// addCommands adds the commands, in the groups of the help.
func addCommands(root *cobra.Command, e *env) {
	for _, group := range []struct {
		title    string
		commands []func(*env) *cobra.Command
	}{
		{"Every Day:", []func(*env) *cobra.Command{newPeersCommand, pingcli.New, forwardcli.New, cpcli.New, powercli.New, newEventsCommand, newDoctorCommand}},
		{"The Fleet:", []func(*env) *cobra.Command{
			newInitCommand, newInviteCommand, newMembersCommand, newGrantCommand, newRevokeCommand, newRenameCommand,
			newLabelCommand, newRenewCommand, newAuditCommand, newKeyCommand,
		}},
		{"On a Machine:", []func(*env) *cobra.Command{
			newJoinCommand, newWorkerCommand, newRelayCommand, newServiceCommand, newStatusCommand, newLeaveCommand,
		}},
		{"For Scripts and Searches:", []func(*env) *cobra.Command{newControllerCommand, newIDCommand, newInfoCommand}},
		{"The Program:", []func(*env) *cobra.Command{newDemoCommand, newConfigCommand, newVersionCommand, newManCommand, newRefpowCommand}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			cmd := command(e)
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	for _, cmd := range newWordCommands(e) {
		cmd.GroupID = "Every Day:"
		root.AddCommand(cmd)
	}
	root.SetHelpCommandGroupID("The Program:")
	root.SetCompletionCommandGroupID("The Program:")
}

// help is what a command does that only groups others.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noArgs refuses arguments with a hint: most often they are a mistyped command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return meant.Command(cmd, args[0])
	}
	if f := cmd.Flags().Lookup(netflags.HealthName); f != nil && f.Changed && f.Value.String() == f.NoOptDefVal {
		return fmt.Errorf("%q stands alone; an address for --%s comes after an equals sign: --%s=%s",
			args[0], f.Name, f.Name, args[0])
	}
	return fmt.Errorf("%s takes no arguments, got %q; see: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

func newServiceCommand(e *env) *cobra.Command {
	cmd := servicecli.New(e)
	cmd.Args, cmd.RunE = noArgs, help
	return cmd
}
