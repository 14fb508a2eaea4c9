package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/nearest"
	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/internal/signing"
	"github.com/seed-b490fa12/swarm/internal/span"
)

func newGrantCommand(e *env) *cobra.Command {
	var (
		s         = signing.New(e)
		verbs, on string
		term      time.Duration
		only      bool
		issue     []string
		names     string
		forAll    bool
		anyVerb   bool
		back      bool
	)
	cmd := &cobra.Command{
		Use:   "grant NAME|PEER --verbs VERBS",
		Short: "Give a member a right, for a while or for good",
		Long: `Give a member a right in addition to those it has: verbs, on all machines or on those that a selector
chooses, for a while or for as long as it is a member. With --only the right replaces all others.

Verbs: stats.read logs.read agent.logs audit.read miner.control workload.control deploy run shell forward
cp power admit grant revoke; *.read for all that read, * for all but the last three.

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
			if term < 0 {
				return fmt.Errorf("--for %v: want more than 0", term)
			}
			s.UseRoot = s.UseRoot || len(issue) > 0
			if err := checkVerbs(admin.ParseVerbs(verbs), anyVerb); err != nil {
				return err
			}
			if err := checkRoles(issue...); err != nil {
				return err
			}
			if err := checkOn(on); err != nil {
				return err
			}
			change := admin.Change{Narrow: only && len(issue) == 0, Reinstate: back}
			return s.Give(cmd.Context(), args[0], "granted", change, func(g *trust.Grant) error {
				addRight(g, admin.ParseVerbs(verbs), on, term, only)
				return addBounds(g, issue, names, forAll)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&verbs, "verbs", "", "`VERBS`, separated by commas; none for none")
	anyVerbFlag(f, &anyVerb)
	f.Var(selector.Value{Text: &on}, "on", "`SELECTOR` of the machines, such as gpu=3080; may be repeated, and all must "+
		"fit (default: all machines)")
	span.Var(f, &term, "for", 0, "how long (default: as long as it is a member)")
	f.BoolVar(&only, "only", false, "take away all other rights")
	f.StringSliceVar(&issue, "issue", nil, "`ROLES` of the members that it may let in: worker, relay, viewer, controller")
	f.StringVar(&names, "issue-names", "", "`PATTERN` of the names that it may give them, such as cabin-*")
	f.BoolVar(&forAll, "for-all", false, "with --issue: let it sign and revoke for everybody except issuers")
	f.BoolVar(&back, "reinstate", false, "with --issue: bring back an issuer that the root has ended")
	s.YesFlag(cmd.Flags())
	s.Flags(cmd.Flags())
	return cmd
}

// knownVerbs returns the rights that there are.
func knownVerbs() []string {
	return []string{
		"stats.read", "logs.read", "agent.logs", "audit.read", "miner.control", "workload.control", "deploy", "run", "shell", "forward", "cp", "power",
		trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke, trust.ReadVerbs, trust.AllVerbs,
	}
}

// anyVerbFlag is for the rights of other programs, which are built on the same packages.
func anyVerbFlag(f *pflag.FlagSet, any *bool) {
	f.BoolVar(any, "any-verb", false, "take verbs that this program does not know, for a program of your own")
}

// checkVerbs refuses verbs that there are not, unless any will do, and names the nearest one.
func checkVerbs(verbs []string, any bool) error {
	for _, v := range verbs {
		if any || slices.Contains(knownVerbs(), v) {
			continue
		}
		if near := nearest.Word(v, knownVerbs()); near != "" {
			return fmt.Errorf("%q is no right: did you mean %s? One of a program of your own needs --any-verb", v, near)
		}
		return fmt.Errorf("%q is no right: want some of %s; one of a program of your own needs --any-verb",
			v, strings.Join(knownVerbs(), ", "))
	}
	return nil
}

// checkRoles refuses roles that there are not, and names the nearest one.
func checkRoles(roles ...string) error {
	known := []string{
		string(trust.RoleWorker), string(trust.RoleRelay), string(trust.RoleViewer), string(trust.RoleController), string(trust.RoleIssuer),
	}
	for _, r := range roles {
		if !slices.Contains(known, r) {
			return fmt.Errorf("there is no role %q%s: want one of %s", r, nearest.Hint(r, known), strings.Join(known, ", "))
		}
	}
	return nil
}

// checkOn refuses what chooses machines for a command, and not for a right.
func checkOn(on string) error {
	if _, err := trust.ParseSelector(on); err != nil {
		return fmt.Errorf("--on %q: a right is for machines of KEY=VALUE or KEY, several joined by commas; what else there "+
			"is chooses machines for a command", on)
	}
	return nil
}

// addRight gives verbs beside those that are there, or instead of them.
func addRight(g *trust.Grant, verbs []string, on string, term time.Duration, only bool) {
	if len(verbs) == 0 && !only {
		return
	}
	if only {
		g.Verbs, g.On, g.Also = []string{}, "", nil
	}
	r := trust.Right{Verbs: verbs, On: on}
	if term > 0 {
		r.Expires = time.Now().Add(term).UnixMilli()
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
