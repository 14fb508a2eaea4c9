package main

import (
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/membership"
	"github.com/seed-b490fa12/swarm/internal/policy"
)

// statusLine is one node of this machine, as a line of JSON.
type statusLine struct {
	State       string          `json:"state"` // the directory
	Peer        peer.ID         `json:"peer"`
	Fleet       trust.FleetID   `json:"fleet,omitzero"`
	FleetName   string          `json:"fleetName,omitzero"`
	Fingerprint string          `json:"fingerprint,omitzero"`
	Name        string          `json:"name,omitzero"`
	Role        trust.Role      `json:"role,omitzero"`
	Expires     *time.Time      `json:"expires,omitzero"`
	Valid       bool            `json:"valid"`
	Warnings    []string        `json:"warnings"`
	May         []memberLine    `json:"may"` // who has rights on this node
	Policy      policy.Status   `json:"policy"`
	Lately      []audit.Entry   `json:"lately"`           // the last of the audit log
	Refused     []audit.Refused `json:"refused,omitzero"` // whose requests were refused within a day
}

// statusLately is how many entries of the audit log are shown.
const statusLately = 10

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show who may do what on this machine, and who did what lately",
		Long: `Show what this machine is in its fleet, who may do what on it, what may run here, and
who did what lately. It reads files of this machine only, so it works without a network
and whether the worker runs or not.`,
		Example: "  swarm status\n  swarm status --state /var/lib/swarm/worker --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := a.nodeDirs()
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				line, err := nodeStatus(a, dir)
				if err != nil {
					return err
				}
				if err := a.print(line, func() error { return a.printStatus(line) }); err != nil {
					return err
				}
			}
			if len(dirs) == 0 {
				a.stderr.println("No node was ever run on this machine by this user. Begin with: swarm init, or swarm join")
			}
			return nil
		},
	}
}

// nodeDirs are the state directories of this machine that hold an identity.
func (a *app) nodeDirs() (dirs []string, err error) {
	for _, role := range []string{agent.RoleController, agent.RoleWorker, agent.RoleRelay} {
		dir, err := a.stateDir(role)
		if err != nil {
			return nil, err
		}
		if _, err := filepath.EvalSymlinks(host.IdentityPath(dir)); err == nil {
			dirs = append(dirs, dir)
		}
		if a.state != "" {
			break
		}
	}
	return dirs, nil
}

func nodeStatus(a *app, dir string) (s statusLine, err error) {
	s = statusLine{State: dir, Warnings: []string{}, May: []memberLine{}, Valid: true}
	if s.Peer, err = membership.ID(dir); err != nil {
		return s, err
	}
	if w := agent.TwinWarning(dir); w != "" {
		s.Warnings = append(s.Warnings, w)
	}
	if s.Policy, err = agent.ReadPolicy(dir); err != nil {
		s.Warnings = append(s.Warnings, err.Error())
	}
	if s.Lately, err = audit.Last(audit.Dir(dir), statusLately); err != nil {
		s.Warnings = append(s.Warnings, err.Error())
	}
	if s.Refused, err = audit.ReadRefused(audit.Dir(dir), time.Now().Add(-audit.RefusedWithin)); err != nil {
		s.Warnings = append(s.Warnings, err.Error())
	}
	if !trust.InFleet(membership.Dir(dir)) {
		return s, nil
	}
	adm, err := admin.OpenAdmin(dir, a.log)
	if err != nil {
		return s, err
	}
	f, g := adm.Fleet, adm.Fleet.Self().Grant
	until := g.ExpiresAt().UTC()
	s.Fleet, s.FleetName, s.Fingerprint, s.Name, s.Role, s.Expires = f.ID(), f.Name(), f.ID().Fingerprint(), g.Name, g.Role, &until
	s.Valid = f.Whole() == nil && f.SelfErr() == nil
	s.Warnings = append(s.Warnings, adm.Warnings()...)
	for _, m := range memberLines(adm) {
		if m.State == "member" && !m.Self && (len(m.Verbs) > 0 || len(m.Also) > 0) {
			s.May = append(s.May, m)
		}
	}
	return s, nil
}

func (a *app) printStatus(s statusLine) error {
	a.stdout.printf("%s\n  peer         %s\n", s.State, s.Peer)
	if s.Fleet == "" {
		a.stdout.println("  fleet        none: only peers named with --allow may command a worker here")
	} else {
		a.stdout.printf("  fleet        %s (%s)\n  fingerprint  %s\n", s.FleetName, s.Fleet.Short(), s.Fingerprint)
		a.stdout.printf("  here         %s, %s, until %s\n", s.Name, s.Role, day(*s.Expires))
	}
	for _, warning := range s.Warnings {
		a.stdout.printf("  WARNING      %s\n", warning)
	}
	for i, m := range s.May {
		head := ""
		if i == 0 {
			head = "may command"
		}
		a.stdout.printf("  %-12s %s: %s\n", head, m.Name, rightsText(m))
	}
	a.stdout.printf("  may run      %s\n", s.Policy)
	for i, e := range s.Lately {
		head := ""
		if i == 0 {
			head = "lately"
		}
		a.stdout.printf("  %-12s %s\n", head, oneLine(e.Text()))
	}
	for i, r := range s.Refused {
		head := ""
		if i == 0 {
			head = "within a day"
		}
		a.stdout.printf("  %-12s %s\n", head, r.Text())
	}
	a.stdout.println("  Workloads run with the rights of the worker.")
	return nil
}

// rightsText puts a member's rights in words.
func rightsText(m memberLine) string {
	text := ""
	add := func(r trust.Right) {
		if len(r.Verbs) == 0 {
			return
		}
		if text != "" {
			text += "; "
		}
		for i, v := range r.Verbs {
			if i > 0 {
				text += " "
			}
			text += v
		}
		if r.On != "" {
			text += " on " + r.On
		}
		if r.Expires != 0 {
			text += " until " + time.UnixMilli(r.Expires).UTC().Format("2006-01-02 15:04")
		}
	}
	add(trust.Right{Verbs: m.Verbs, On: m.On})
	for _, r := range m.Also {
		add(r)
	}
	return text
}
