package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func (a *app) renewCommand() *cobra.Command {
	var (
		s   signing
		all bool
	)
	cmd := &cobra.Command{
		Use:   "renew [NAME|PEER…]",
		Short: "Sign members' grants for a further life",
		Long: `Sign members' grants for a further life: of those named, or of all who are past two
thirds of it or expired. Most grants are renewed by themselves, when the member meets
one who may issue. What an issuer holds only the root key renews (--as-root).`,
		Example: `  swarm renew
  swarm renew rig-01
  swarm renew laptop --as-root`,
		RunE: func(cmd *cobra.Command, args []string) error {
			adm, err := a.admin(&s)
			if err != nil {
				return err
			}
			return a.renew(cmd.Context(), &s, adm, args, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "of all members, whatever is left of their time")
	s.flags(cmd)
	return cmd
}

func (a *app) renew(ctx context.Context, s *signing, adm *agent.Admin, words []string, all bool) error {
	members, err := dueMembers(adm, words, all)
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
		g, err := adm.Renew(m)
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
		if err := a.print(changeLine{"renewed", m.Peer, g.Name, g.Serial, &until}, func() error {
			_, err := fmt.Fprintf(a.stdout, "%s is a member until %s.\n", g.Name, day(until))
			return err
		}); err != nil {
			return err
		}
	}
	if toAll {
		news.To = nil
	}
	if done == 0 {
		if failed == nil && !a.json {
			fmt.Fprintln(a.stderr, "No grant is due. To renew one all the same, name it, or use --all.")
		}
		return failed
	}
	return errors.Join(failed, a.deliver(ctx, s, news))
}

// dueMembers are those named, or those whose time is near or over. An issuer is left
// out where nobody asked for it and the root key is not at hand.
func dueMembers(adm *agent.Admin, words []string, all bool) (out []trust.Member, err error) {
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
