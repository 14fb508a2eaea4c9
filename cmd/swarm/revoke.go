package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func (a *app) revokeCommand() *cobra.Command {
	var (
		s             signing
		lift, reissue bool
	)
	cmd := &cobra.Command{
		Use:   "revoke NAME|PEER|SERIAL",
		Short: "Throw a member out, or end one of its grants, everywhere",
		Long: `Throw a member out: nobody in the fleet takes anything from it any more. Machines that
can be reached now hear of it at once and end its connections; others hear of it from
any member at their next contact. With a SERIAL (see: swarm members --json) only that
grant ends.

When the member had let others in, their grants end with it. With --reissue they
are signed anew first.

--lift takes a revocation back. Only the root key can.`,
		Example: `  swarm revoke laptop2
  swarm revoke 12D3KooW…
  swarm revoke laptop2 --reissue
  swarm revoke --lift 12D3KooW…`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.useRoot = s.useRoot || lift
			adm, err := a.admin(&s)
			if err != nil {
				return err
			}
			if lift {
				return a.lift(cmd.Context(), &s, adm, args[0])
			}
			return a.revoke(cmd.Context(), &s, adm, args[0], reissue)
		},
	}
	cmd.Flags().BoolVar(&lift, "lift", false, "take the revocation back (needs the root key)")
	cmd.Flags().BoolVar(&reissue, "reissue", false, "sign anew for those whom the member had let in")
	s.flags(cmd)
	return cmd
}

// isSerial tells a grant's serial from a name.
func isSerial(word string) bool {
	return len(word) == 26 && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func (a *app) revoke(ctx context.Context, s *signing, adm *agent.Admin, word string, reissue bool) error {
	line := changeLine{Event: "revoked"}
	var c trust.Change
	if isSerial(word) {
		line.Serial, c.RevokeSerials = word, []string{word}
	} else {
		m, err := adm.Find(word)
		if id, bad := peer.Decode(word); err != nil && bad == nil {
			m.Peer, err = id, nil // also one whom this machine has never met
		}
		if err != nil {
			return err
		}
		line.Peer, c.RevokePeers = m.Peer, []peer.ID{m.Peer}
		if m.Grant != nil {
			line.Name = m.Grant.Name
		}
		if err := a.reissue(adm, m, reissue); err != nil {
			return err
		}
	}
	if err := adm.Revoke(c); err != nil {
		return err
	}
	if err := a.print(line, func() error {
		_, err := fmt.Fprintf(a.stdout, "%s is revoked.\n", word)
		return err
	}); err != nil {
		return err
	}
	return a.deliver(ctx, s, agent.News{})
}

// reissue signs anew for those whom an issuer had let in, or says that they would go
// with it.
func (a *app) reissue(adm *agent.Admin, issuer trust.Member, yes bool) error {
	admitted := adm.Admitted(issuer.Peer)
	if len(admitted) == 0 {
		return nil
	}
	if !yes {
		return fmt.Errorf("%d members have their grants from %s and would go with it: add --reissue to sign for them anew, or revoke those first", len(admitted), issuer.Grant.Name)
	}
	for _, m := range admitted {
		if _, err := adm.Renew(m); err != nil {
			return fmt.Errorf("sign anew for %s: %w", m.Grant.Name, err)
		}
	}
	return nil
}

func (a *app) lift(ctx context.Context, s *signing, adm *agent.Admin, word string) error {
	line := changeLine{Event: "lifted"}
	var c trust.Change
	if isSerial(word) {
		line.Serial, c.LiftSerials = word, []string{word}
	} else {
		id, err := peer.Decode(word)
		if err != nil {
			for _, m := range adm.Fleet.Members() {
				if m.Grant.Name == word && adm.Fleet.Revoked(m.Peer) {
					id, err = m.Peer, nil
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%w: no revoked member is known as %q here: give its peer ID", agent.ErrUnknownMember, word)
		}
		line.Peer, c.LiftPeers = id, []peer.ID{id}
	}
	if err := adm.Revoke(c); err != nil {
		return err
	}
	if err := a.print(line, func() error {
		_, err := fmt.Fprintf(a.stdout, "%s is revoked no more.\n", word)
		return err
	}); err != nil {
		return err
	}
	return a.deliver(ctx, s, agent.News{})
}
