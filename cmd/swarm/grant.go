package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
)

func newGrantCommand(e *env) *cobra.Command {
	var (
		s         = newSigning(e)
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
		Long: `Give a member a right in addition to those it has: verbs, on all machines or on those that a selector
chooses, for a while or for as long as it is a member. With --only the right replaces all others.

Verbs: stats.read logs.read audit.read miner.control workload.control deploy run admit grant revoke;
*.read for all that read, * for all but the last three.

With --issue the member may let others in with these roles (swarm invite --via), and signs only for
machines that joined by its own tickets. With --for-all it signs and revokes for everybody except
issuers, as a second laptop of yours should. Both need the root key. --reinstate brings back an issuer
whose key is safe again.`,
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
			return s.give(cmd.Context(), args[0], "granted", change, func(g *trust.Grant) error {
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
	f.StringSliceVar(&issue, "issue", nil, "`ROLES` of the members that it may let in: worker, relay, viewer, controller")
	f.StringVar(&names, "issue-names", "", "`PATTERN` of the names that it may give them, such as cabin-*")
	f.BoolVar(&forAll, "for-all", false, "with --issue: let it sign and revoke for everybody except issuers")
	f.BoolVar(&back, "reinstate", false, "with --issue: bring back an issuer that the root has ended")
	s.flags(cmd.Flags())
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
