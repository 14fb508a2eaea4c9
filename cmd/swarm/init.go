package main

import (
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
)

func newInitCommand(e *env) *cobra.Command {
	var (
		in           admin.Init
		noPassphrase bool
		laptop       bool
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a fleet; this machine becomes its first controller",
		Long: `Make a fleet of your own. Everything in the fleet begins with its root key: it is written to a file of
its own, sealed with a passphrase, and used only for what an everyday controller must not do. This
machine gets a key of its own, which may command all machines and let others in.

This controller may sign for two years before the root key renews it, or for 180 days with --laptop.
That is also how long a machine that gets no news would obey it after it was stolen.

Afterwards print a backup with "swarm key backup", and let machines in with "swarm invite".`,
		Example: `  swarm init
  swarm init --fleet home --root /media/stick/root.key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.StateDir, err = e.StateDir(agent.RoleController); err != nil {
				return err
			}
			if console.InFleet(in.StateDir) {
				return fmt.Errorf("%w; see: swarm status; or leave it first: swarm leave", trust.ErrInFleet)
			}
			if !noPassphrase {
				if in.Seal.Passphrase, err = e.Passphrase(true); err != nil {
					return fmt.Errorf("%w; or use --no-passphrase, and keep the file safe", err)
				}
			}
			if !cmd.Flags().Changed("laptop") && e.Ask.Present() {
				if laptop, err = e.Ask.Confirm("Can this machine be stolen, as a laptop can? Then it signs for 180 days instead of two years."); err != nil {
					return err
				}
			}
			if laptop {
				in.Life = laptopLife
			}
			return initFleet(e, in)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Fleet, "fleet", "home", "what the fleet is called")
	f.StringVar(&in.Name, "name", "", "what this controller is called in the fleet (default: the host name)")
	f.StringVar(&in.RootKey, "root", "",
		"`FILE` for the root key, for instance on a stick (default: root.key in the state directory)")
	f.BoolVar(&laptop, "laptop", false, "this machine may be stolen: let it sign for 180 days, not two years")
	f.BoolVar(&noPassphrase, "no-passphrase", false, "do not seal the root key: anyone who reads its file owns the fleet")
	return cmd
}

// laptopLife is how long a controller that can be stolen signs before the root has to renew it.
const laptopLife = 180 * 24 * time.Hour

func initFleet(e *env, in admin.Init) error {
	e.WarnClock()
	in.Logger = e.Log
	if in.Name == "" {
		in.Name = admin.HostName()
	}
	if in.RootKey == "" {
		in.RootKey = fleetdir.RootKeyPath(in.StateDir)
	}
	_, missing := os.Stat(in.RootKey)
	adm, err := admin.InitFleet(in)
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
	return e.Print(made, func() error {
		how := "made"
		if missing == nil {
			how = "made anew by the root key that was here already, and has its ID of before"
		}
		e.Stdout.Printf("The fleet %s is %s.\n\n", made.FleetName, how)
		e.Stdout.Printf("  fleet        %s\n", made.Fleet)
		e.Stdout.Printf("  fingerprint  %s\n", made.Fingerprint)
		e.Stdout.Printf("  controller   %s (%s)\n", made.Name, made.Peer)
		e.Stdout.Printf("  root key     %s\n\n", made.Root)
		e.Stdout.Printf("Until %s this controller signs for the machines it lets in. Then they obey nobody until the "+
			"root\nkey renews it: swarm renew %s --as-root. \"swarm doctor\" says so 30 days before.\n\n",
			output.Day(own.Grant.ExpiresAt()), made.Name)
		_, err := e.Stdout.Println("Next: let a machine in with \"swarm invite NAME\", and print a backup with \"swarm " +
			"key backup\".")
		return err
	})
}
