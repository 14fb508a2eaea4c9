package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

// changeLine says what was signed, as a line of JSON.
type changeLine struct {
	Event   string     `json:"event"`
	Peer    peer.ID    `json:"peer,omitzero"`
	Name    string     `json:"name,omitzero"`
	Serial  string     `json:"serial,omitzero"`
	Expires *time.Time `json:"expires,omitzero"`
}

// give signs a member's grant anew after a change, and hands it over.
func (a *app) give(ctx context.Context, s *signing, word, event string, c admin.Change, edit func(*trust.Grant) error) error {
	adm, err := a.admin(s)
	if err != nil {
		return err
	}
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
	edited := *m.Grant
	if err := edit(&edited); err != nil {
		return err
	}
	c.Edit = func(g *trust.Grant) { *g = edited }
	g, err := adm.Give(m, c)
	if err != nil {
		return err
	}
	until := g.ExpiresAt().UTC()
	line := changeLine{Event: event, Peer: m.Peer, Name: g.Name, Serial: g.Line.Serial, Expires: &until}
	if err := a.print(line, func() error {
		_, err := a.stdout.printf("%s: a new grant is signed for %s, until %s.\n", event, g.Name, day(until))
		return err
	}); err != nil {
		return err
	}
	a.warnIssuer(g)
	news := agent.News{To: []peer.ID{m.Peer}}
	if !listens(g.Role) {
		news = agent.News{About: []peer.ID{m.Peer}}
	}
	if c.Narrow || g.MayIssue != nil {
		news.To = nil
	}
	_, err = a.deliver(ctx, s, news)
	return err
}

// warnIssuer says what a person must know of an issuer's grant.
func (a *app) warnIssuer(g *trust.Grant) {
	if g.MayIssue == nil || a.json {
		return
	}
	a.stderr.printf("On %s the machines that %s has let in stop obeying everybody until a controller for all has met them, unless the root renews it before (swarm renew %s --as-root). Until then a machine that hears of nothing would obey a stolen %s.\n",
		day(g.ExpiresAt()), g.Name, g.Name, g.Name)
}

// listens tells whether members of a role can be called.
func listens(r trust.Role) bool { return r == trust.RoleWorker || r == trust.RoleRelay }

func (a *app) grantCommand() *cobra.Command {
	var (
		s         signing
		verbs, on string
		span      time.Duration
		only      bool
		issue     []string
		names     string
		forAll    bool
		back      bool
	)
	cmd := &cobra.Command{
		Use:   "grant NAME|PEER --verbs VERBS",
		Short: "Give a member a right, for a while or for good",
		Long: `Give a member a right, in addition to those it has: verbs, on all machines or on those
that a selector names, for a while or for as long as it is a member. With --only the
right replaces all that it had.

Verbs: stats.read logs.read audit.read miner.control workload.control deploy run
admit grant revoke; *.read for all that read, * for all but the last three.

With --issue the member may let others in with these roles (swarm invite --via), and
signs only for machines that joined by its own tickets. With --for-all it signs and
revokes for everybody but issuers, as a second laptop of yours should. Only the root key
signs that. --reinstate brings an issuer back whose key is safe again.`,
		Example: `  swarm grant friend --verbs miner.control --on site=cabin --for 8h
  swarm grant friend --verbs '*.read' --only
  swarm grant vps --issue worker
  swarm grant laptop2 --verbs '*,admit,grant,revoke' --issue worker,relay --for-all`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if verbs == "" && len(issue) == 0 {
				return errors.New("say which right: --verbs, or --issue")
			}
			if span < 0 {
				return fmt.Errorf("--for %v: want more than 0", span)
			}
			s.useRoot = s.useRoot || len(issue) > 0
			if err := checkVerbs(admin.ParseVerbs(verbs)); err != nil {
				return err
			}
			change := admin.Change{Narrow: only && len(issue) == 0, Reinstate: back}
			return a.give(cmd.Context(), &s, args[0], "granted", change, func(g *trust.Grant) error {
				addRight(g, admin.ParseVerbs(verbs), on, span, only)
				return addBounds(g, issue, names, forAll)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&verbs, "verbs", "", "`VERBS`, separated by commas; none for none")
	f.StringVar(&on, "on", "", "`SELECTOR` of the machines, such as gpu=3080 (default: all)")
	f.DurationVar(&span, "for", 0, "how long (default: as long as it is a member)")
	f.BoolVar(&only, "only", false, "take away all other rights")
	f.StringSliceVar(&issue, "issue", nil, "`ROLES` with which it may let others in: worker, relay, viewer, controller")
	f.StringVar(&names, "issue-names", "", "`PATTERN` of the names that it may give to them, such as cabin-*")
	f.BoolVar(&forAll, "for-all", false, "with --issue: let it sign and revoke for everybody but issuers")
	f.BoolVar(&back, "reinstate", false, "with --issue: bring back an issuer that the root has ended")
	s.flags(cmd)
	return cmd
}

// knownVerbs returns the rights that there are.
func knownVerbs() []string {
	return []string{
		"stats.read", "logs.read", "audit.read", "miner.control", "workload.control", "deploy", "run",
		trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke, trust.ReadVerbs, trust.AllVerbs,
	}
}

// checkVerbs refuses verbs that there are not, and names the nearest one.
func checkVerbs(verbs []string) error {
	for _, v := range verbs {
		if slices.Contains(knownVerbs(), v) {
			continue
		}
		if near := admin.Nearest(v, knownVerbs()); near != "" {
			return fmt.Errorf("%q is no right: did you mean %s?", v, near)
		}
		return fmt.Errorf("%q is no right: want some of %s", v, strings.Join(knownVerbs(), ", "))
	}
	return nil
}

// addRight gives verbs beside those that are there, or instead of them.
func addRight(g *trust.Grant, verbs []string, on string, span time.Duration, only bool) {
	if len(verbs) == 0 && !only {
		return
	}
	if only {
		g.Verbs, g.On, g.Also = []string{}, "", nil
	}
	r := trust.Right{Verbs: verbs, On: on}
	if span > 0 {
		r.Expires = time.Now().Add(span).UnixMilli()
	}
	now := time.Now().UnixMilli()
	g.Also = slices.DeleteFunc(g.Also, func(r trust.Right) bool { return r.Expires != 0 && r.Expires <= now })
	if len(verbs) > 0 {
		g.Also = append(g.Also, r)
	}
}

// addBounds lets a member sign for others.
func addBounds(g *trust.Grant, roles []string, names string, forAll bool) error {
	if len(roles) == 0 {
		if forAll || names != "" {
			return errors.New("--for-all and --issue-names go with --issue")
		}
		return nil
	}
	g.Verbs, g.Also = trust.MergeVerbs(g), nil
	g.MayIssue = &trust.Bounds{Verbs: g.Verbs, Names: names, ForAll: forAll}
	for _, r := range roles {
		g.MayIssue.Roles = append(g.MayIssue.Roles, trust.Role(r))
	}
	return nil
}

func (a *app) renameCommand() *cobra.Command {
	var s signing
	cmd := &cobra.Command{
		Use:     "rename NAME|PEER NEW",
		Short:   "Give a member another name",
		Example: "  swarm rename rig-01 cabin-01",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.give(cmd.Context(), &s, args[0], "renamed", admin.Change{}, func(g *trust.Grant) error {
				g.Name = args[1]
				return nil
			})
		},
	}
	s.flags(cmd)
	return cmd
}

func (a *app) labelCommand() *cobra.Command {
	var s signing
	cmd := &cobra.Command{
		Use:     "label NAME|PEER KEY=VALUE… KEY-…",
		Short:   "Set a member's labels; KEY- removes one",
		Example: "  swarm label rig-01 gpu=4090 site=cabin spare-",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.give(cmd.Context(), &s, args[0], "labelled", admin.Change{}, func(g *trust.Grant) (err error) {
				g.Labels, err = admin.ChangeLabels(g.Labels, args[1:])
				return err
			})
		},
	}
	s.flags(cmd)
	return cmd
}
