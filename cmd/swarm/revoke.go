package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

// revocation is what the flags of revoke say.
type revocation struct {
	signing.Signer
	lift, close, alone bool
	reissue            []string
}

func newRevokeCommand(e *env) *cobra.Command {
	r := revocation{Signer: signing.New(e)}
	cmd := &cobra.Command{
		Use:        "revoke NAME|PEER|SERIAL",
		SuggestFor: []string{"kick", "ban"},
		Short:      "Throw a member out, or end one of its grants, everywhere",
		Long: `Throw a member out: nobody in the fleet accepts anything from it any more. Machines that can be
reached now are told at once and close its connections; others are told by any member at their next
contact. With a SERIAL (see: swarm members --json) only that grant ends.

Only the root key revokes an issuer, which may let others in (--as-root). The machines that it let in
are signed again automatically at their next contact with a controller for all, and are left out of
--all and --on until you have looked at them: swarm renew --from NAME. Members that had rights from it
have none until you sign for them; name those you trust as --reissue.

Only the root key lifts a revocation (--lift), or voids everything that an ended issuer revoked, except
what you confirm (--close). The members that can be reached are asked first what it revoked, and under
which grants. If none of its grants is known here after that, nothing is signed unless you give --alone:
then nothing that it ever revokes counts, also if you bring it back.

Exit code 3 means that no other machine has been told yet: keep this one, and try again. Or some have
no room for what this key revokes, because a thief who has it revoked too much: use the root key.`,
		Example: `  swarm revoke rig-07
  swarm revoke 12D3KooW… --as-root
  swarm revoke laptop2 --as-root --reissue friend
  swarm revoke --lift rig-07
  swarm revoke --close laptop2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.UseRoot = r.UseRoot || r.lift || r.close
			adm, err := r.Admin()
			if err != nil {
				return err
			}
			switch {
			case r.lift:
				return r.runLift(cmd.Context(), adm, args[0])
			case r.close:
				return r.runClose(cmd.Context(), adm, args[0])
			}
			return r.run(cmd.Context(), adm, args[0])
		},
	}
	cmd.Flags().BoolVar(&r.lift, "lift", false, "lift the revocation (needs the root key)")
	cmd.Flags().BoolVar(&r.close, "close", false, "void everything that an ended issuer revoked (needs the root key)")
	cmd.Flags().BoolVar(&r.alone, "alone", false, "with --close: continue if no grant of the issuer is known")
	cmd.Flags().StringSliceVar(&r.reissue, "reissue", nil, "sign again for `NAMES` that had rights from the issuer")
	cmd.MarkFlagsMutuallyExclusive("lift", "close", "reissue")
	r.Flags(cmd.Flags())
	return cmd
}

func (r *revocation) run(ctx context.Context, adm *admin.Admin, word string) error {
	what, err := signing.FindRevoked(adm, word)
	if err != nil {
		return err
	}
	line := signing.Change{Event: "revoked", Peer: what.Peer, Name: what.Name}
	if what.Line != nil {
		line.Serial = what.Line.Serial
		err = adm.Revoke(nil, []trust.Line{*what.Line})
	} else {
		err = adm.Revoke([]peer.ID{what.Peer}, nil)
	}
	if err != nil {
		return err
	}
	if err := r.Print(line, func() error {
		_, err := r.Stdout.Printf("%s is revoked.\n", word)
		return err
	}); err != nil {
		return err
	}
	failed := r.runReissue(adm)
	r.tellOrphans(adm, what)
	told, err := r.Deliver(ctx, agent.News{Keep: adm.Revocations(what.Peer, what.Line)})
	if err != nil {
		return err
	}
	if failed != nil {
		return &console.Exit{Code: console.ExitPartial, Err: failed}
	}
	return heard(adm, told, what.Peer)
}

// heard fails where only this machine knows of a revocation: it dies with it.
func heard(adm *admin.Admin, told int, but peer.ID) error {
	others := 0
	for _, m := range adm.Fleet.Members() {
		if m.Peer != but && m.Peer != adm.Fleet.Self().Grant.Subject && !adm.Fleet.Revoked(m.Peer) {
			others++
		}
	}
	if told > 0 || others == 0 {
		return nil
	}
	return &console.Exit{Code: console.ExitPartial, Err: errors.New("no other machine has heard of it yet, so it would be lost " +
		"with this one: run the same again when one can be reached, or keep \"swarm controller serve\" running")}
}

// runReissue signs for those whom a person trusts although their signer has ended.
func (r *revocation) runReissue(adm *admin.Admin) (failed error) {
	for _, word := range r.reissue {
		m, err := adm.Find(word)
		if err == nil {
			if err = r.Stderr.Block("", signing.Describe(adm, m)); err == nil {
				_, err = adm.Renew(m)
			}
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s is not signed anew: %w", word, err))
		}
	}
	return failed
}

// tellOrphans says who has nothing, or waits, since an issuer has ended.
func (r *revocation) tellOrphans(adm *admin.Admin, ended signing.Revoked) {
	var names []string
	machines := 0
	for _, m := range adm.Orphans(ended.Peer) {
		if len(m.Grant.Verbs)+len(m.Grant.Also) > 0 {
			names = append(names, m.Grant.Name)
		} else {
			machines++
		}
	}
	if machines > 0 {
		r.Stderr.Printf("Machines with grants from %[2]s: %[1]d. They are signed anew at the next contact, and left "+
			"out of --all and --on until you have looked: swarm renew --from %[3]s\n", machines, ended.Name, ended.Peer)
	}
	if len(names) > 0 {
		r.Stderr.Printf("These had rights from %s and have none now: %s. Sign for those you know: swarm renew NAME\n",
			ended.Name, strings.Join(names, ", "))
	}
}

func (r *revocation) runLift(ctx context.Context, adm *admin.Admin, word string) error {
	what, err := signing.FindRevoked(adm, word)
	if m, bad := adm.FindRevoked(word); bad == nil && !trust.LooksLikeSerial(word) {
		what, err = signing.Revoked{Peer: m.Peer, Name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	line := signing.Change{Event: "lifted", Peer: what.Peer, Name: what.Name}
	var lifted int
	if what.Line != nil {
		line.Serial = what.Line.Serial
		lifted, err = adm.Lift("", *what.Line)
	} else {
		lifted, err = adm.Lift(what.Peer)
	}
	switch {
	case err != nil:
		return err
	case lifted == 0:
		return fmt.Errorf("%s is under no revocation that is known here", word)
	}
	if err := r.Print(line, func() error {
		_, err := r.Stdout.Printf("%s is revoked no more.\n", word)
		return err
	}); err != nil {
		return err
	}
	if m, ok := adm.Fleet.Known(what.Peer); ok && m.Err != nil {
		r.Stderr.Printf("%s holds nothing all the same: %v\n", word, m.Err)
	}
	_, err = r.Deliver(ctx, agent.News{})
	return err
}

// runClose ends what an ended issuer has revoked, but for what a person says is right.
func (r *revocation) runClose(ctx context.Context, adm *admin.Admin, word string) error {
	answered, _, err := r.Meet(ctx, agent.News{}, func(signing.Told, error) {}) // what they know is learned
	if err = errors.Join(err, adm.Fleet.Reload()); err != nil {
		return err
	}
	if answered == 0 && !r.JSON {
		r.Stderr.Printf("No member answered: what %s revoked and is not known here is void as well.\n", word)
	}
	what, err := signing.FindRevoked(adm, word)
	if m, bad := adm.FindRevoked(word); bad == nil {
		what, err = signing.Revoked{Peer: m.Peer, Name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	all, delegates := adm.Fleet.Issuers()
	if !r.alone && !slices.Contains(slices.Concat(all, delegates), what.Peer) {
		return adm.Close(trust.Closing{Signer: what.Peer}) // says why not
	}
	standing := []trust.ID{}
	for _, d := range signing.Doubts(adm, what.Peer) {
		yes, err := r.Ask.Confirm(d.Question(word))
		if errors.Is(err, ask.ErrNoAnswer) {
			return errors.New("nothing is closed: a person has to answer these questions")
		}
		if err != nil {
			return err
		}
		if yes {
			standing = append(standing, d.IDs...)
		}
	}
	if err := adm.Close(trust.Closing{Signer: what.Peer, Standing: standing, Unknown: r.alone}); err != nil {
		return err
	}
	if err := r.Print(signing.Change{Event: "closed", Peer: what.Peer, Name: what.Name}, func() error {
		_, err := r.Stdout.Printf("Nothing that %s has revoked counts any more, but for %d that stand.\n",
			word, len(standing))
		return err
	}); err != nil {
		return err
	}
	_, err = r.Deliver(ctx, agent.News{})
	return err
}
