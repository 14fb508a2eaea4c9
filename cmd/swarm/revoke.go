package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// revocation is what the flags of revoke say.
type revocation struct {
	signing
	lift, close bool
	reissue     []string
}

func newRevokeCommand(e *env) *cobra.Command {
	r := revocation{signing: newSigning(e)}
	cmd := &cobra.Command{
		Use:   "revoke NAME|PEER|SERIAL",
		Short: "Throw a member out, or end one of its grants, everywhere",
		Long: `Throw a member out: nobody in the fleet accepts anything from it any more. Machines that can be
reached now are told at once and close its connections; others are told by any member at their next
contact. With a SERIAL (see: swarm members --json) only that grant ends.

Only the root key revokes an issuer, which may let others in (--as-root). The machines that it let in
are signed again automatically at their next contact with a controller for all, and are left out of
--all and --on until you have looked at them: swarm renew --from NAME. Members that had rights from it
have none until you sign for them; name those you trust as --reissue.

Only the root key lifts a revocation (--lift), or voids everything that an ended issuer revoked, except
what you confirm (--close).

Exit code 3 means that no other machine has been told yet: keep this one, and try again.`,
		Example: `  swarm revoke rig-07
  swarm revoke 12D3KooW… --as-root
  swarm revoke laptop2 --as-root --reissue friend
  swarm revoke --lift rig-07
  swarm revoke --close laptop2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.useRoot = r.useRoot || r.lift || r.close
			adm, err := r.admin()
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
	cmd.Flags().StringSliceVar(&r.reissue, "reissue", nil, "sign again for `NAMES` that had rights from the issuer")
	cmd.MarkFlagsMutuallyExclusive("lift", "close", "reissue")
	r.flags(cmd.Flags())
	return cmd
}

// revoked is what a word of the command line means: a peer, or a line.
type revoked struct {
	peer peer.ID
	name string
	line *trust.Line
}

// findRevoked finds what is meant. A whole peer ID always means that peer, also one that nobody
// here has met; a serial that nobody knows is an error.
func findRevoked(adm *admin.Admin, word string) (r revoked, err error) {
	if id, bad := peer.Decode(word); bad == nil {
		r.peer, r.name = id, word
		if m, ok := adm.Fleet.Known(id); ok {
			r.name = m.Grant.Name
		}
		return r, nil
	}
	if trust.LooksLikeSerial(word) {
		line, m, err := adm.FindSerial(word)
		if err != nil {
			return r, err
		}
		return revoked{peer: m.Peer, name: m.Grant.Name, line: &line}, nil
	}
	m, err := adm.Find(word)
	if err != nil {
		return r, err
	}
	return revoked{peer: m.Peer, name: m.Grant.Name}, nil
}

func (r *revocation) run(ctx context.Context, adm *admin.Admin, word string) error {
	what, err := findRevoked(adm, word)
	if err != nil {
		return err
	}
	line := changeLine{Event: "revoked", Peer: what.peer, Name: what.name}
	if what.line != nil {
		line.Serial = what.line.Serial
		err = adm.Revoke(nil, []trust.Line{*what.line})
	} else {
		err = adm.Revoke([]peer.ID{what.peer}, nil)
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
	told, err := r.deliver(ctx, agent.News{})
	if err != nil {
		return err
	}
	if failed != nil {
		return &codeError{code: exitPartial, err: failed}
	}
	return heard(adm, told, what.peer)
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
	return &codeError{code: exitPartial, err: errors.New("no other machine has heard of it yet, so it would be lost " +
		"with this one: run the same again when one can be reached, or keep \"swarm controller serve\" running")}
}

// runReissue signs for those whom a person trusts although their signer has ended.
func (r *revocation) runReissue(adm *admin.Admin) (failed error) {
	for _, word := range r.reissue {
		m, err := adm.Find(word)
		if err == nil {
			if err = r.Stderr.Block("", orphanText(adm, m)); err == nil {
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
func (r *revocation) tellOrphans(adm *admin.Admin, ended revoked) {
	var names []string
	machines := 0
	for _, m := range adm.Orphans(ended.peer) {
		if len(m.Grant.Verbs)+len(m.Grant.Also) > 0 {
			names = append(names, m.Grant.Name)
		} else {
			machines++
		}
	}
	if machines > 0 {
		r.Stderr.Printf("Machines with grants from %[2]s: %[1]d. They are signed anew at the next contact, and left "+
			"out of --all and --on until you have looked: swarm renew --from %[3]s\n", machines, ended.name, ended.peer)
	}
	if len(names) > 0 {
		r.Stderr.Printf("These had rights from %s and have none now: %s. Sign for those you know: swarm renew NAME\n",
			ended.name, strings.Join(names, ", "))
	}
}

func (r *revocation) runLift(ctx context.Context, adm *admin.Admin, word string) error {
	what, err := findRevoked(adm, word)
	if m, bad := adm.FindRevoked(word); bad == nil && !trust.LooksLikeSerial(word) {
		what, err = revoked{peer: m.Peer, name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	line := changeLine{Event: "lifted", Peer: what.peer, Name: what.name}
	var lifted int
	if what.line != nil {
		line.Serial = what.line.Serial
		lifted, err = adm.Lift("", *what.line)
	} else {
		lifted, err = adm.Lift(what.peer)
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
	if m, ok := adm.Fleet.Known(what.peer); ok && m.Err != nil {
		r.Stderr.Printf("%s holds nothing all the same: %v\n", word, m.Err)
	}
	_, err = r.deliver(ctx, agent.News{})
	return err
}

// runClose ends what an ended issuer has revoked, but for what a person says is right.
func (r *revocation) runClose(ctx context.Context, adm *admin.Admin, word string) error {
	what, err := findRevoked(adm, word)
	if m, bad := adm.FindRevoked(word); bad == nil {
		what, err = revoked{peer: m.Peer, name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	standing := []trust.ID{}
	for _, st := range adm.Fleet.Revocations() {
		if st.Signer != what.peer {
			continue
		}
		on := output.Day(time.UnixMilli(st.Revocation.Issued))
		yes, err := r.ask.Confirm(fmt.Sprintf("%s revoked %s, dated %s. Does that stand?",
			word, revokedName(adm, st.Revocation), on), false)
		if err != nil {
			return err
		}
		if yes {
			standing = append(standing, st.ID)
		}
	}
	if err := adm.Close(what.peer, standing); err != nil {
		return err
	}
	if err := r.Print(changeLine{Event: "closed", Peer: what.peer, Name: what.name}, func() error {
		_, err := r.Stdout.Printf("Nothing that %s has revoked counts any more, but for %d that stand.\n",
			word, len(standing))
		return err
	}); err != nil {
		return err
	}
	_, err = r.deliver(ctx, agent.News{})
	return err
}

// revokedName says who or what a revocation names.
func revokedName(adm *admin.Admin, r *trust.Revocation) string {
	if r.Line != nil {
		if _, m, err := adm.FindSerial(r.Line.Serial); err == nil {
			return fmt.Sprintf("the grant %s of %s", r.Line.Serial, m.Grant.Name)
		}
		return "the grant " + r.Line.Serial
	}
	if m, ok := adm.Fleet.Known(r.Peer); ok {
		return fmt.Sprintf("%s (%s)", m.Grant.Name, r.Peer)
	}
	return r.Peer.String()
}
