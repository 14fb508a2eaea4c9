package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func (a *app) initCommand() *cobra.Command {
	var (
		in           agent.Init
		noPassphrase bool
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a fleet of your own; this machine becomes its first controller",
		Long: `Make a fleet of your own. Its root key is what everything in it begins with: it is
written to a file of its own, sealed with a passphrase, and used only for what an
everyday controller must not do. This machine gets a key of its own, which may
command all machines and let others in.

Afterwards print a backup with "swarm key backup", and let machines in with
"swarm invite".`,
		Example: `  swarm init
  swarm init --fleet home --root /media/stick/root.key`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			if in.StateDir, err = a.stateDir(agent.RoleController); err != nil {
				return err
			}
			if trust.InFleet(agent.FleetDir(in.StateDir)) {
				return fmt.Errorf("%w; see: swarm status; or leave it first: swarm leave", trust.ErrInFleet)
			}
			if !noPassphrase {
				if in.Seal.Passphrase, err = a.passphrase(true); err != nil {
					return fmt.Errorf("%w; or use --no-passphrase, and keep the file safe", err)
				}
			}
			return a.init(in)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Fleet, "fleet", "home", "what the fleet is called")
	f.StringVar(&in.Name, "name", "", "what this controller is called in the fleet (default: the host name)")
	f.StringVar(&in.RootKey, "root", "", "`FILE` for the root key, for instance on a stick (default: root.key in the state directory)")
	f.BoolVar(&noPassphrase, "no-passphrase", false, "do not seal the root key: whoever reads its file owns the fleet")
	return cmd
}

func (a *app) init(in agent.Init) error {
	a.warnClock()
	in.Logger = a.log
	if in.Name == "" {
		in.Name = hostName()
	}
	if in.RootKey == "" {
		in.RootKey = agent.RootKeyPath(in.StateDir)
	}
	adm, err := agent.InitFleet(in)
	if err != nil {
		return err
	}
	own := adm.Fleet.Self()
	made := struct {
		Event       string  `json:"event"`
		Fleet       string  `json:"fleet"`
		FleetName   string  `json:"fleetName"`
		Fingerprint string  `json:"fingerprint"`
		Peer        peer.ID `json:"peer"`
		Name        string  `json:"name"`
		Root        string  `json:"root"`
	}{"init", string(adm.Fleet.ID()), adm.Fleet.Name(), adm.Fleet.ID().Fingerprint(), own.Grant.Subject, own.Grant.Name, in.RootKey}
	return a.print(made, func() error {
		fmt.Fprintf(a.stdout, "The fleet %s is made.\n\n", made.FleetName)
		fmt.Fprintf(a.stdout, "  fleet        %s\n", made.Fleet)
		fmt.Fprintf(a.stdout, "  fingerprint  %s\n", made.Fingerprint)
		fmt.Fprintf(a.stdout, "  controller   %s (%s)\n", made.Name, made.Peer)
		fmt.Fprintf(a.stdout, "  root key     %s\n\n", made.Root)
		_, err := fmt.Fprintln(a.stdout, "Next: let a machine in with \"swarm invite NAME\", and print a backup with \"swarm key backup\".")
		return err
	})
}

// hostName is the name of this machine in the letters that names may have.
func hostName() string {
	name, _ := os.Hostname()
	name = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name)
	if name == "" {
		return "controller"
	}
	return name[:min(len(name), 63)]
}
