package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
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
	cmd.AddCommand(a.keyBackupCommand(), a.keyRestoreCommand(), a.keyWaiveCommand())
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
			if err := adm.NoteSheet(sheet); err != nil {
				a.log.Warn("that a sheet was printed could not be noted", "err", err)
			}
			text := struct {
				Event string `json:"event"`
				Sheet string `json:"sheet"`
			}{"backup", sheet.Text()}
			return a.print(text, func() error {
				return a.stdout.block("", text.Sheet)
			})
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "`FILE` of the root key (default: root.key in the state directory)")
	return cmd
}

func (a *app) keyRestoreCommand() *cobra.Command {
	var (
		r            restoring
		noPassphrase bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Get the fleet back from a backup sheet, on a new computer",
		Long: `Get the fleet back from a backup sheet, on a new computer. First the command signs the
end of the lost controller and of all issuers on the sheet (--keep those that are not
lost). Then it asks the machines on the sheet for all others. Machines without rights are
signed anew by themselves at contact, and are left out of --all and --on until you have
looked; who had rights from a lost signer is listed, and has none until you sign for it:
swarm renew --from ISSUER. None of the machines has to be touched.

When no machine answers, nothing is changed here, unless you say --alone: then all hear
of it at their next contact.`,
		Example: "  swarm key restore sheet.txt\n  swarm key restore - --name laptop2 < sheet.txt\n  swarm key restore sheet.txt --alone",
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
			for _, word := range r.keep {
				p, err := peer.Decode(word)
				if err != nil {
					return fmt.Errorf("--keep %q: want a whole peer ID, as it stands on the sheet", word)
				}
				r.Keep = append(r.Keep, p)
			}
			if r.keepOld {
				r.Keep = append(r.Keep, r.Sheet.Controller)
			}
			return a.restore(cmd.Context(), &r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what this controller is called in the fleet (default: the host name)")
	f.StringVar(&r.RootKey, "root", "", "`FILE` for the root key (default: root.key in the state directory)")
	f.BoolVar(&noPassphrase, "no-passphrase", false, "do not seal the root key: whoever reads its file owns the fleet")
	f.BoolVar(&r.keepOld, "keep-old", false, "do not end the controller that the sheet is from")
	f.StringSliceVar(&r.keep, "keep", nil, "`PEER` of the sheet that is not lost and goes on to sign")
	f.BoolVar(&r.alone, "alone", false, "go on when no machine answers")
	r.flags(cmd)
	return cmd
}

// restoring is what the flags of restore say.
type restoring struct {
	admin.Restore
	reach
	keep           []string
	keepOld, alone bool
}

// restoredLine says what a restore did, as a line of JSON.
type restoredLine struct {
	Event     string        `json:"event"`
	Fleet     trust.FleetID `json:"fleet"`
	FleetName string        `json:"fleetName"`
	Peer      peer.ID       `json:"peer"`
	Answered  int           `json:"answered"`
	Members   int           `json:"members"`
	// Revoked are the signers that were ended, and Delegates the issuers that were not.
	Revoked   []peer.ID `json:"revoked"`
	Delegates []peer.ID `json:"delegates,omitzero"`
	// Waiting are members of whom a person has to decide.
	Waiting []string `json:"waiting,omitzero"`
}

func (a *app) restore(ctx context.Context, r *restoring) (err error) {
	if r.StateDir, err = a.stateDir(agent.RoleController); err != nil {
		return err
	}
	r.Logger = a.log
	if r.Name == "" {
		r.Name = hostName()
	}
	cfg, err := r.config(r.StateDir, a.log)
	if err != nil {
		return err
	}
	t, err := admin.BeginRestore(r.Restore, cfg)
	if err != nil {
		return err
	}
	answered, members, err := t.Collect(ctx, append(r.Sheet.Relays, r.Sheet.Members...))
	if answered == 0 && !r.alone {
		err = fmt.Errorf("no machine of the sheet answered (%w), so nothing is changed here: try again where one can be reached, or go on all the same with --alone", cmp.Or(err, errors.New("it names none")))
		return &codeError{code: exitUnreachable, err: errors.Join(err, t.Undo())}
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	late := 0
	err = t.Deliver(ctx, agent.News{TimeoutMs: defaultDeliver.Milliseconds()}, func(d agent.Delivery) {
		if d.Err != nil {
			late++
		}
	})
	if err != nil {
		return err
	}
	return a.restored(r, t, answered, members, late)
}

// restored says what was done, and what is left for a person.
func (a *app) restored(r *restoring, t *admin.Takeover, answered, members, late int) error {
	if err := t.Admin.Fleet.Reload(); err != nil {
		return err
	}
	line := restoredLine{
		"restored", t.Admin.Fleet.ID(), t.Admin.Fleet.Name(), t.Node.ID(), answered, members, t.Ended, r.Sheet.Delegates, nil,
	}
	orphans := t.Admin.Orphans("")
	for _, m := range orphans {
		line.Waiting = append(line.Waiting, m.Grant.Name)
	}
	if err := a.print(line, func() error {
		_, err := a.stdout.printf("The fleet %s is restored. Lost signers ended: %d; machines that answered: %d; members known: %d.\n",
			line.FleetName, len(line.Revoked), answered, members)
		return err
	}); err != nil {
		return err
	}
	for _, p := range line.Delegates {
		a.stderr.printf("%s goes on to let machines in by its own tickets. If it is lost, too: swarm revoke %s --as-root\n", p, p)
	}
	for _, m := range orphans {
		a.stderr.block("", orphanText(t.Admin, m))
	}
	if len(orphans) > 0 {
		a.stderr.println("Look at these, and sign for those that are yours: swarm renew NAME… (or swarm renew --from ISSUER); the others: swarm revoke NAME")
	}
	if late > 0 {
		a.stderr.printf("%d members could not be reached: they hear of it at their next contact.\n", late)
	}
	a.stderr.println("Print a new sheet: swarm key backup")
	if len(orphans) > 0 || late > 0 {
		return &codeError{code: exitPartial}
	}
	return nil
}

func (a *app) keyWaiveCommand() *cobra.Command {
	var s signing
	cmd := &cobra.Command{
		Use:   "waive NAME|PEER",
		Short: "Let a machine obey again whose memory of revocations was damaged",
		Long: `Let a machine obey again whose memory of revocations was damaged, when nobody has any more
what it has lost. A machine obeys nobody while statements are missing that it once had;
any member that has them brings them at the next contact. This is for those that nobody
has: what was revoked there, and is known nowhere else, is revoked no more on that machine.`,
		Example: "  swarm key waive rig-03",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.useRoot = true
			adm, err := a.admin(&s)
			if err != nil {
				return err
			}
			return a.waive(cmd.Context(), &s, adm, args[0])
		},
	}
	s.flags(cmd)
	return cmd
}

func (a *app) waive(ctx context.Context, s *signing, adm *admin.Admin, word string) (err error) {
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
	c, err := a.controller(s.reach, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := c.Node.BringUpToDate(ctx, m.Peer); err != nil {
		return &codeError{code: exitUnreachable, err: fmt.Errorf("%s has to be reached to tell what it has lost: %w", m.Grant.Name, err)}
	}
	missing, err := c.Node.Missing(ctx, m.Peer)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := adm.Waive(m.Peer, missing); err != nil {
			return err
		}
		news := agent.News{To: []peer.ID{m.Peer}, TimeoutMs: s.timeout.Milliseconds()}
		if err := c.Deliver(ctx, news, func(agent.Delivery) {}); err != nil {
			return err
		}
		if left, err := c.Node.Missing(ctx, m.Peer); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("%s lacks %d statements all the same", m.Grant.Name, len(left)))
		}
	}
	return a.print(changeLine{Event: "waived", Peer: m.Peer, Name: m.Grant.Name}, func() error {
		_, err := a.stdout.printf("%s lacks nothing any more (%d statements were waived).\n", m.Grant.Name, len(missing))
		return err
	})
}
