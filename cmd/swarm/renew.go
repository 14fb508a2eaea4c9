package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

// renewal is what the flags of renew say.
type renewal struct {
	signing.Signer
	all  bool
	from string
	on   string
}

func newRenewCommand(e *env) *cobra.Command {
	r := renewal{Signer: signing.New(e)}
	cmd := &cobra.Command{
		Use:   "renew [NAME|PEER…]",
		Short: "Sign members' grants for a further life",
		Long: `Sign the grants of members for another term: of those named, or of all members whose grants have
expired or are past two thirds of their life. Most grants are renewed automatically, when the member
meets one that may issue. The grant of an issuer is renewed by the root key only (--as-root). A member
with rights that another issuer gave is shown first, and you are asked about it.

With --from ISSUER: renew the grants of members whose signer has ended. Members that had rights from
it have none until you sign for them. Machines without rights were signed again automatically, and are
left out of --all and --on until you have looked at them. Each member is shown with its peer ID, role,
rights, signer and any grants that differ, and you are asked about it (--yes accepts all).`,
		Example: `  swarm renew
  swarm renew rig-01
  swarm renew --all --on site=cabin
  swarm renew laptop --as-root
  swarm renew --from old-laptop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			adm, err := r.Admin()
			if err != nil {
				return err
			}
			if r.from != "" {
				return r.fromEnded(cmd.Context(), adm)
			}
			return r.run(cmd.Context(), adm, args)
		},
	}
	cmd.Flags().BoolVar(&r.all, "all", false, "renew the grants of all members, however long they last")
	cmd.Flags().StringVar(&r.from, "from", "", "look at the members whose grants came from `ISSUER`, which has ended")
	connect.OnFlag(cmd.Flags(), &r.on)
	r.YesFlag(cmd.Flags())
	r.Flags(cmd.Flags())
	return cmd
}

// fromEnded asks a person about each member whose signer has ended.
func (r *renewal) fromEnded(ctx context.Context, adm *admin.Admin) error {
	issuer, err := signing.FindRevoked(adm, r.from)
	if m, bad := adm.FindRevoked(r.from); bad == nil {
		issuer, err = signing.Revoked{Peer: m.Peer, Name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	orphans := adm.Orphans(issuer.Peer)
	if len(orphans) == 0 {
		r.Stderr.Printf("Nobody waits for a person because of %s.\n", r.from)
		return nil
	}
	var names []string
	for _, m := range orphans {
		r.Stderr.Block("", signing.Describe(adm, m))
		take := r.Yes
		if !r.Yes {
			if take, err = r.Ask.Confirm(fmt.Sprintf("Is %s yours, and is that right?", m.Grant.Name)); err != nil {
				return err
			}
		}
		if take {
			names = append(names, m.Peer.String())
		}
	}
	if len(names) == 0 {
		return errors.New("none was signed for; those that are not yours: swarm revoke NAME")
	}
	r.Yes = true // looked at
	return r.run(ctx, adm, names)
}

// run renews the members named, or those that are due.
func (r *renewal) run(ctx context.Context, adm *admin.Admin, words []string) error {
	members, err := dueMembers(adm, words, r.all)
	if err == nil && len(members) > 0 {
		members, err = connect.Fitting(r.on, members, func(m trust.Member) map[string]string { return m.Grant.Labels })
	}
	if err != nil {
		return err
	}
	var (
		done   int
		news   agent.News
		toAll  bool
		failed error
	)
	for _, m := range members {
		g, err := r.one(adm, m, len(words) > 0)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Grant.Name, err))
			continue
		}
		done++
		news.To = append(news.To, m.Peer)
		if !signing.Listens(g.Role) && m.Peer != adm.Fleet.Self().Grant.Subject {
			news.About, toAll = append(news.About, m.Peer), true
		}
		until := g.ExpiresAt().UTC()
		if err := r.Print(signing.Change{Event: "renewed", Peer: m.Peer, Name: g.Name, Serial: g.Line.Serial, Expires: &until}, func() error {
			_, err := r.Stdout.Printf("%s is a member until %s.\n", g.Name, output.Day(until))
			return err
		}); err != nil {
			return err
		}
	}
	if toAll {
		news.To = nil
	}
	if done == 0 {
		if failed == nil && !r.JSON {
			r.Stderr.Println("No grant is due. To renew one all the same, name it, or use --all.")
		}
		return failed
	}
	_, err = r.Deliver(ctx, news)
	return errors.Join(failed, err)
}

// one signs for one member. Of those that nobody has named only what a machine signs by itself; of
// others a person may have to be asked.
func (r *renewal) one(adm *admin.Admin, m trust.Member, named bool) (*trust.Grant, error) {
	if !named {
		return adm.RenewDue(m)
	}
	if err := r.Look(adm, m); err != nil {
		return nil, err
	}
	return adm.Renew(m)
}

// dueMembers are those named, or those whose time is near or over. An issuer is left
// out where nobody asked for it and the root key is not at hand.
func dueMembers(adm *admin.Admin, words []string, all bool) (out []trust.Member, err error) {
	for _, w := range words {
		m, err := adm.Find(w)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if len(words) > 0 {
		return out, nil
	}
	own := adm.Fleet.Self()
	members := append(adm.Fleet.Members(), trust.Member{Peer: own.Grant.Subject, Credential: own})
	for _, m := range members {
		due := all || !m.Grant.NoRenew && !adm.Fleet.Now().Before(m.Grant.RenewAt())
		if due && !adm.Fleet.Revoked(m.Peer) && (m.Grant.MayIssue == nil || adm.Root() != nil) &&
			!slices.ContainsFunc(out, func(o trust.Member) bool { return o.Peer == m.Peer }) {
			out = append(out, m)
		}
	}
	return out, nil
}
