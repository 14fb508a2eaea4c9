package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

// memberLine is a member as a line of JSON.
type memberLine struct {
	Peer     peer.ID           `json:"peer"`
	Name     string            `json:"name"`
	Role     trust.Role        `json:"role"`
	Labels   map[string]string `json:"labels,omitzero"`
	Verbs    []string          `json:"verbs"`
	On       string            `json:"on,omitzero"`
	Also     []trust.Right     `json:"also,omitzero"`
	Serial   string            `json:"serial"`
	Issuer   string            `json:"issuer"`
	Expires  time.Time         `json:"expires"`
	LastSeen *time.Time        `json:"lastSeen"`
	State    string            `json:"state"` // member, expired, revoked, issuer revoked, not yet valid
	Self     bool              `json:"self,omitzero"`
}

func (a *app) membersCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "members",
		Short:   "Show who belongs to the fleet, with what rights and until when",
		Example: "  swarm members\n  swarm members --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := a.fleetDirs()
			if err != nil {
				return err
			}
			if len(dirs) == 0 {
				_, err := a.admin(nil)
				return err // says what to do
			}
			adm, err := agent.OpenAdmin(dirs[0], a.log)
			if err != nil {
				return err
			}
			return a.listMembers(adm)
		},
	}
}

func (a *app) listMembers(adm *agent.Admin) error {
	lines := memberLines(adm)
	if a.json {
		for _, l := range lines {
			if err := a.printJSON(l); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tLABELS\tSTATE\tUNTIL\tLAST SEEN\tPEER")
	for _, l := range lines {
		seen := unknown
		switch {
		case l.Self:
			seen = "this machine"
		case l.LastSeen != nil:
			seen = seconds(time.Since(*l.LastSeen).Seconds()) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Role, labelText(l.Labels), l.State, day(l.Expires), seen, l.Peer)
	}
	return w.Flush()
}

func memberLines(adm *agent.Admin) (out []memberLine) {
	own := adm.Fleet.Self()
	all := adm.Fleet.Members()
	all = slices.DeleteFunc(all, func(m trust.Member) bool { return m.Peer == own.Grant.Subject })
	all = slices.Insert(all, 0, trust.Member{Peer: own.Grant.Subject, Credential: own, Err: adm.Fleet.May(own.Grant.Subject, "")})
	for _, m := range all {
		g := m.Grant
		l := memberLine{
			Peer: m.Peer, Name: g.Name, Role: g.Role, Labels: g.Labels, Verbs: g.Verbs, On: g.On, Also: g.Also, Serial: g.Serial,
			Issuer: "root", Expires: g.ExpiresAt().UTC(), State: stateWord(adm.Fleet, m), Self: m.Peer == own.Grant.Subject,
		}
		if m.Issuer != nil {
			l.Issuer = m.Issuer.Name
		}
		if e, ok := adm.Book.Get(m.Peer); ok && e.LastSeen > 0 {
			at := time.UnixMilli(e.LastSeen).UTC()
			l.LastSeen = &at
		}
		out = append(out, l)
	}
	return out
}

func stateWord(f *trust.Fleet, m trust.Member) string {
	switch now := f.Now(); {
	case errors.Is(m.Err, trust.ErrRevokedIssuer):
		return "issuer revoked"
	case f.Revoked(m.Peer), f.Records().Revoked().Serial(m.Grant.Serial):
		return "revoked"
	case !now.Before(m.Grant.ExpiresAt()):
		return "expired"
	case now.UnixMilli() < m.Grant.NotBefore:
		return "not yet valid"
	default:
		return "member"
	}
}

func labelText(labels map[string]string) string {
	if len(labels) == 0 {
		return unknown
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// changeLine says what was signed, as a line of JSON.
type changeLine struct {
	Event   string     `json:"event"`
	Peer    peer.ID    `json:"peer,omitzero"`
	Name    string     `json:"name,omitzero"`
	Serial  string     `json:"serial,omitzero"`
	Expires *time.Time `json:"expires,omitzero"`
}

// give signs a member's grant anew and hands it over.
func (a *app) give(ctx context.Context, s *signing, word, event string, less bool, change func(*trust.Grant) error) error {
	adm, err := a.admin(s)
	if err != nil {
		return err
	}
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
	before := m.Grant.Serial
	var failed error
	g, err := adm.Give(m, func(g *trust.Grant) { failed = change(g) })
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if less {
		// What the old grant gave it gives no more, to one who still shows it.
		if err := adm.Revoke(trust.Change{RevokeSerials: []string{before}}); err != nil {
			return err
		}
	}
	until := g.ExpiresAt().UTC()
	line := changeLine{Event: event, Peer: m.Peer, Name: g.Name, Serial: g.Serial, Expires: &until}
	if err := a.print(line, func() error {
		_, err := fmt.Fprintf(a.stdout, "%s: a new grant is signed for %s, until %s.\n", event, g.Name, day(until))
		return err
	}); err != nil {
		return err
	}
	news := agent.News{To: []peer.ID{m.Peer}}
	if !listens(g.Role) {
		news = agent.News{About: []peer.ID{m.Peer}}
	}
	if less {
		news.To = nil
	}
	return a.deliver(ctx, s, news)
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
	)
	cmd := &cobra.Command{
		Use:   "grant NAME|PEER --verbs VERBS",
		Short: "Give a member a right, for a while or for good",
		Long: `Give a member a right, in addition to those it has: verbs, on all machines or on those
that a selector names, for a while or for as long as it is a member. With --only the
right replaces all that it had.

Verbs: stats.read logs.read audit.read miner.control workload.control deploy run
admit grant revoke; *.read for all that read, * for all but the last three.

With --issue the member may let others in with these roles (swarm invite --via). Only
the root key signs that.`,
		Example: `  swarm grant friend --verbs miner.control --on site=cabin --for 8h
  swarm grant friend --verbs '*.read' --only
  swarm grant vps --issue worker`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if verbs == "" && len(issue) == 0 {
				return errors.New("say which right: --verbs, or --issue")
			}
			if span < 0 {
				return fmt.Errorf("--for %v: want more than 0", span)
			}
			s.useRoot = s.useRoot || len(issue) > 0
			return a.give(cmd.Context(), &s, args[0], "granted", only, func(g *trust.Grant) error {
				addRight(g, agent.ParseVerbs(verbs), on, span, only)
				addBounds(g, issue, names)
				return nil
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
	s.flags(cmd)
	return cmd
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
func addBounds(g *trust.Grant, roles []string, names string) {
	if len(roles) == 0 {
		return
	}
	g.MayIssue = &trust.Bounds{Verbs: g.Verbs, Names: names}
	for _, r := range roles {
		g.MayIssue.Roles = append(g.MayIssue.Roles, trust.Role(r))
	}
}

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

func (a *app) renameCommand() *cobra.Command {
	var s signing
	cmd := &cobra.Command{
		Use:     "rename NAME|PEER NEW",
		Short:   "Give a member another name",
		Example: "  swarm rename rig-01 cabin-01",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.give(cmd.Context(), &s, args[0], "renamed", false, func(g *trust.Grant) error {
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
			return a.give(cmd.Context(), &s, args[0], "labelled", false, func(g *trust.Grant) (err error) {
				g.Labels, err = agent.ChangeLabels(g.Labels, args[1:])
				return err
			})
		},
	}
	s.flags(cmd)
	return cmd
}

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

func (a *app) leaveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take this machine out of its fleet",
		Long: `Take this machine out of its fleet: it forgets its grant and all members, and nobody of
the fleet may do anything here any more. It needs nobody's consent and no network. A
worker that is running ends; its policy file and identity stay.`,
		Example: "  swarm leave\n  swarm leave --state /var/lib/swarm/worker --yes",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := a.fleetDirs()
			if err != nil {
				return err
			}
			switch len(dirs) {
			case 0:
				return trust.ErrNoFleet
			case 1:
			default:
				return fmt.Errorf("several nodes of this machine are in a fleet: say which one leaves, with --state: %s", strings.Join(dirs, ", "))
			}
			if !yes {
				ok, err := a.confirm(fmt.Sprintf("Leave the fleet, in %s?", dirs[0]), !isTerminal(a.stdin))
				if err != nil || !ok {
					return err
				}
			}
			if err := trust.LeaveFleet(agent.FleetDir(dirs[0])); err != nil {
				return err
			}
			return a.print(changeLine{Event: "left"}, func() error {
				_, err := fmt.Fprintln(a.stdout, "This machine has left its fleet.")
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
