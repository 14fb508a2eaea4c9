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
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

func newKeyRestoreCommand(e *env) *cobra.Command {
	var (
		r            = restoring{env: e}
		noPassphrase bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Get the fleet back from a backup sheet, on a new computer",
		Long: `Get the fleet back from a backup sheet, on a new computer. First the command signs the end of the lost
controller and of all issuers on the sheet, except those named with --keep. Then it asks the machines
on the sheet for all others. Machines without rights are signed again automatically at their next
contact, and are left out of --all and --on until you have looked at them. Members that had rights from
a lost signer are listed, and have none until you sign for them: swarm renew --from ISSUER. You need
not touch any of the machines.

If no machine answers, nothing changes here unless you give --alone: then all machines are told at
their next contact.`,
		Example: "  swarm key restore sheet.txt\n  swarm key restore - --name laptop2 < sheet.txt\n  swarm key restore sheet.txt --alone",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var text []byte
			if args[0] == "-" {
				text, err = io.ReadAll(io.LimitReader(e.Stdin, 128<<10))
			} else {
				text, err = os.ReadFile(args[0])
			}
			if err != nil {
				return fmt.Errorf("read the sheet: %w", err)
			}
			if r.Sheet, err = rootkey.ParseSheet(string(text)); err != nil {
				return err
			}
			if !noPassphrase {
				if r.Seal.Passphrase, err = e.Passphrase(true); err != nil {
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
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what this controller is called in the fleet (default: the host name)")
	f.StringVar(&r.RootKey, "root", "", "`FILE` for the root key (default: root.key in the state directory)")
	f.BoolVar(&noPassphrase, "no-passphrase", false, "do not seal the root key: whoever reads its file owns the fleet")
	f.BoolVar(&r.keepOld, "keep-old", false, "do not end the controller that the sheet is from")
	f.StringSliceVar(&r.keep, "keep", nil, "`PEER` of the sheet that is not lost and continues to sign")
	f.BoolVar(&r.alone, "alone", false, "continue if no machine answers")
	r.reach.Flags(f)
	return cmd
}

// restoring is what the flags of restore say.
type restoring struct {
	*env
	admin.Restore
	reach          connect.Reach
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

func (r *restoring) run(ctx context.Context) (err error) {
	if r.Restore.StateDir, err = r.env.StateDir(agent.RoleController); err != nil {
		return err
	}
	r.Logger = r.Log
	if r.Name == "" {
		r.Name = admin.HostName()
	}
	cfg, err := r.reach.Config(r.Restore.StateDir, r.Log)
	if err != nil {
		return err
	}
	t, err := admin.BeginRestore(r.Restore, cfg)
	if err != nil {
		return err
	}
	answered, members, err := t.Collect(ctx, append(r.Sheet.Relays, r.Sheet.Members...))
	if answered == 0 && !r.alone {
		err = fmt.Errorf("no machine of the sheet answered (%w), so nothing is changed here: try again where one can "+
			"be reached, or go on all the same with --alone", cmp.Or(err, errors.New("it names none")))
		return &console.Exit{Code: console.ExitUnreachable, Err: errors.Join(err, t.Undo())}
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	late := 0
	err = t.Deliver(ctx, agent.News{TimeoutMs: signing.DefaultTimeout.Milliseconds()}, func(d agent.Delivery) {
		if d.Err != nil {
			late++
		}
	})
	if err != nil {
		return err
	}
	return r.report(t, answered, members, late)
}

// report prints what was done, and what is left for a person.
func (r *restoring) report(t *admin.Takeover, answered, members, late int) error {
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
	if err := r.Print(line, func() error {
		_, err := r.Stdout.Printf("The fleet %s is restored. Lost signers ended: %d; machines that answered: %d; "+
			"members known: %d.\n",
			line.FleetName, len(line.Revoked), answered, members)
		return err
	}); err != nil {
		return err
	}
	for _, p := range line.Delegates {
		r.Stderr.Printf("%s goes on to let machines in by its own tickets. If it is lost, too: swarm revoke %s --as-root\n",
			p, p)
	}
	for _, m := range orphans {
		r.Stderr.Block("", signing.Describe(t.Admin, m))
	}
	if len(orphans) > 0 {
		r.Stderr.Println("Look at these, and sign for those that are yours: swarm renew NAME… (or swarm renew --from " +
			"ISSUER); the others: swarm revoke NAME")
	}
	if late > 0 {
		r.Stderr.Printf("%s could not be reached, and will hear of it at the next contact.\n", output.Count(late, "member", "members"))
	}
	r.Stderr.Println("Print a new sheet: swarm key backup")
	if len(orphans) > 0 || late > 0 {
		return &console.Exit{Code: console.ExitPartial}
	}
	return nil
}
