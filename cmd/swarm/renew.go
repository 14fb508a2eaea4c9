package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// renewal is what the flags of renew say.
type renewal struct {
	signing
	all, yes bool
	from     string
}

func newRenewCommand(e *env) *cobra.Command {
	r := renewal{signing: newSigning(e)}
	cmd := &cobra.Command{
		Use:   "renew [NAME|PEER…]",
		Short: "Sign members' grants for a further life",
		Long: `Sign the grants of members for another term: of those named, or of all members whose grants have
expired or are past two thirds of their life. Most grants are renewed automatically, when the member
meets one that may issue. The grant of an issuer is renewed by the root key only (--as-root).

With --from ISSUER: renew the grants of members whose signer has ended. Members that had rights from
it have none until you sign for them. Machines without rights were signed again automatically, and are
left out of --all and --on until you have looked at them. Each member is shown with its peer ID, role,
rights, signer and any grants that differ, and you are asked about it (--yes accepts all).`,
		Example: `  swarm renew
  swarm renew rig-01
  swarm renew laptop --as-root
  swarm renew --from old-laptop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			adm, err := r.admin()
			if err != nil {
				return err
			}
			if r.from != "" {
				return r.fromEnded(cmd.Context(), adm)
			}
			return r.run(cmd.Context(), adm, args, r.yes)
		},
	}
	cmd.Flags().BoolVar(&r.all, "all", false, "renew the grants of all members, however long they last")
	cmd.Flags().StringVar(&r.from, "from", "", "look at the members whose grants came from `ISSUER`, which has ended")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "sign for members whose signer has ended, without asking")
	r.flags(cmd.Flags())
	return cmd
}

// fromEnded asks a person about each member whose signer has ended.
func (r *renewal) fromEnded(ctx context.Context, adm *admin.Admin) error {
	issuer, err := findRevoked(adm, r.from)
	if m, bad := adm.FindRevoked(r.from); bad == nil {
		issuer, err = revoked{peer: m.Peer, name: m.Grant.Name}, nil
	}
	if err != nil {
		return err
	}
	orphans := adm.Orphans(issuer.peer)
	if len(orphans) == 0 {
		r.Stderr.Printf("Nobody waits for a person because of %s.\n", r.from)
		return nil
	}
	var names []string
	for _, m := range orphans {
		r.Stderr.Block("", orphanText(adm, m))
		take := r.yes
		if !r.yes {
			if take, err = r.ask.Confirm(fmt.Sprintf("Is %s yours, and is that right?", m.Grant.Name), false); err != nil {
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
	return r.run(ctx, adm, names, true)
}

// orphanText is what a person looks at before signing for a member.
func orphanText(adm *admin.Admin, m trust.Member) string {
	g := m.Grant
	verbs := "no rights"
	if rights := rightsText(memberLine{Verbs: g.Verbs, On: g.On, Also: g.Also}); rights != "" {
		verbs = "rights: " + rights
	}
	state := "its signer has ended"
	if m.Err == nil {
		state = "signed anew by " + signerName(adm, g.By)
	}
	var text strings.Builder
	text.WriteString(fmt.Sprintf("%s  %s\n  %s, labels %s, %s; signed by %s; %s",
		g.Name, m.Peer, g.Role, output.Labels(g.Labels), verbs, signerName(adm, admin.WordOf(g)), state))
	for _, other := range adm.Fleet.Grants(m.Peer) {
		if other.Name != g.Name || !maps.Equal(other.Labels, g.Labels) || !slices.Equal(other.Verbs, g.Verbs) {
			text.WriteString(fmt.Sprintf("\n  another paper, by %s, tells: %s, labels %s, verbs %v",
				signerName(adm, other.By), other.Name, output.Labels(other.Labels), other.Verbs))
		}
	}
	return text.String()
}

// signerName is what a signer is called.
func signerName(adm *admin.Admin, p peer.ID) string {
	if p == adm.Fleet.Root() {
		return "root"
	}
	if m, ok := adm.Fleet.Known(p); ok {
		return m.Grant.Name
	}
	return p.String()
}

// run renews the members named, or those that are due. A member that waits for a person is shown
// first, unless it was looked at.
func (r *renewal) run(ctx context.Context, adm *admin.Admin, words []string, looked bool) error {
	members, err := dueMembers(adm, words, r.all)
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
		g, err := r.one(adm, m, len(words) > 0, looked)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Grant.Name, err))
			continue
		}
		done++
		news.To = append(news.To, m.Peer)
		if !listens(g.Role) && m.Peer != adm.Fleet.Self().Grant.Subject {
			news.About, toAll = append(news.About, m.Peer), true
		}
		until := g.ExpiresAt().UTC()
		if err := r.Print(changeLine{"renewed", m.Peer, g.Name, g.Line.Serial, &until}, func() error {
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
	_, err = r.deliver(ctx, news)
	return errors.Join(failed, err)
}

// one signs for one member. Of those that nobody has named only what a machine signs by itself; a
// member that waits is shown first.
func (r *renewal) one(adm *admin.Admin, m trust.Member, named, looked bool) (*trust.Grant, error) {
	if !named {
		return adm.RenewDue(m)
	}
	if fleetdir.Waits(m) && !looked {
		if err := r.Stderr.Block("", orphanText(adm, m)); err != nil {
			return nil, err
		}
		yes, err := r.ask.Confirm(fmt.Sprintf("Is %s yours, and is that right?", m.Grant.Name), false)
		if err != nil || !yes {
			return nil, cmp.Or(err, errors.New("not signed for"))
		}
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
