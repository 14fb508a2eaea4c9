package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Back up the fleet's root key on paper, and restore it",
		Example: "  swarm key backup > sheet.txt\n  swarm key restore sheet.txt",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyBackupCommand(), a.keyRestoreCommand())
	return cmd
}

func (a *app) keyBackupCommand() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Print a sheet from which the fleet can be restored on a new computer",
		Long: `Print a sheet from which the fleet can be restored on a new computer, when this one is
lost: the root key, and where some of the machines are. Whoever reads the sheet owns
the fleet: print it, keep it like cash, and delete the file.`,
		Example: "  swarm key backup | lpr",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			adm, err := a.admin(&signing{useRoot: true, root: root})
			if err != nil {
				return err
			}
			sheet, err := adm.Sheet()
			if err != nil {
				return err
			}
			text := struct {
				Event string `json:"event"`
				Sheet string `json:"sheet"`
			}{"backup", sheet.Text()}
			return a.print(text, func() error {
				_, err := io.WriteString(a.stdout, text.Sheet)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "`FILE` of the root key (default: root.key in the state directory)")
	return cmd
}

func (a *app) keyRestoreCommand() *cobra.Command {
	var (
		r            agent.Restore
		noPassphrase bool
		in           reach
	)
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Get the fleet back from a backup sheet, on a new computer",
		Long: `Get the fleet back from a backup sheet, on a new computer. The command asks the
machines on the sheet for all others, throws out the lost controller, and signs the
grants anew that it had given. None of the machines has to be touched. Those that
cannot be reached now are told at their next contact.`,
		Example: "  swarm key restore sheet.txt\n  swarm key restore - --name laptop2 < sheet.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var text []byte
			if args[0] == "-" {
				text, err = io.ReadAll(io.LimitReader(a.stdin, 128<<10))
			} else {
				text, err = os.ReadFile(args[0])
			}
			if err != nil {
				return fmt.Errorf("read the sheet: %w", err)
			}
			if r.Sheet, err = trust.ParseSheet(string(text)); err != nil {
				return err
			}
			if !noPassphrase {
				if r.Seal.Passphrase, err = a.passphrase(true); err != nil {
					return fmt.Errorf("%w; or use --no-passphrase, and keep the file safe", err)
				}
			}
			return a.restore(cmd.Context(), r, in)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what this controller is called in the fleet (default: the host name)")
	f.StringVar(&r.RootKey, "root", "", "`FILE` for the root key (default: root.key in the state directory)")
	f.BoolVar(&noPassphrase, "no-passphrase", false, "do not seal the root key: whoever reads its file owns the fleet")
	f.BoolVar(&r.KeepOld, "keep-old", false, "do not throw out the controller that the sheet is from")
	in.flags(cmd)
	return cmd
}

func (a *app) restore(ctx context.Context, r agent.Restore, in reach) (err error) {
	if r.StateDir, err = a.stateDir(agent.RoleController); err != nil {
		return err
	}
	r.Logger = a.log
	if r.Name == "" {
		r.Name = hostName()
	}
	cfg, err := in.config(r.StateDir, a.log)
	if err != nil {
		return err
	}
	c, adm, err := agent.BeginRestore(r, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	answered, members, err := c.Collect(ctx, append(r.Sheet.Relays, r.Sheet.Members...))
	if err != nil {
		fmt.Fprintf(a.stderr, "No machine of the sheet could be reached: %v\n", err)
	}
	done, err := agent.FinishRestore(r, c, adm)
	if err != nil {
		return err
	}
	line := struct {
		Event     string        `json:"event"`
		Fleet     trust.FleetID `json:"fleet"`
		FleetName string        `json:"fleetName"`
		Peer      peer.ID       `json:"peer"`
		Answered  int           `json:"answered"`
		Members   int           `json:"members"`
		Reissued  int           `json:"reissued"`
		Revoked   []peer.ID     `json:"revoked"`
	}{"restored", adm.Fleet.ID(), adm.Fleet.Name(), c.Node.ID(), answered, members, done.Reissued, done.Revoked}
	if err := a.print(line, func() error {
		_, err := fmt.Fprintf(a.stdout, "The fleet %s is restored: %d members are known, %d grants were signed anew, %d lost controllers are thrown out.\n",
			line.FleetName, members, line.Reissued, len(line.Revoked))
		return err
	}); err != nil {
		return err
	}
	told, late := 0, 0
	err = c.Deliver(ctx, agent.News{TimeoutMs: defaultDeliver.Milliseconds()}, func(d agent.Delivery) {
		if told++; d.Err != nil {
			told--
			late++
		}
	})
	if err == nil && !a.json {
		fmt.Fprintf(a.stderr, "%d members have it now, %d get it at their next contact. Print a new sheet: swarm key backup\n", told, late)
	}
	return err
}
