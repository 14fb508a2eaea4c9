package main

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
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

func newStatusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show who may do what on this machine, and who did what lately",
		Long: `Show what this machine is in its fleet, who may do what on it, what may run here, and who did what
lately. The command reads files of this machine only, so it needs no network and no running worker.`,
		Example: "  swarm status\n  swarm status --state /var/lib/swarm/worker --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := e.stateDirs(hasIdentity)
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				line, err := nodeStatus(e, dir)
				if err != nil {
					return err
				}
				if err := e.Print(line, func() error { return printStatus(e, line) }); err != nil {
					return err
				}
			}
			if len(dirs) == 0 {
				e.Stderr.Println("No node was ever run on this machine by this user. Begin with: swarm init, or swarm join")
			}
			return nil
		},
	}
}

func nodeStatus(e *env, dir string) (s statusLine, err error) {
	s = statusLine{State: dir, Warnings: []string{}, May: []memberLine{}, Valid: true}
	if s.Peer, err = fleetdir.ID(dir); err != nil {
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
	if !trust.InFleet(fleetdir.Dir(dir)) {
		return s, nil
	}
	adm, err := admin.OpenAdmin(dir, e.log)
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

func printStatus(e *env, s statusLine) error {
	e.Stdout.Printf("%s\n  peer         %s\n", s.State, s.Peer)
	if s.Fleet == "" {
		e.Stdout.Println("  fleet        none: only peers named with --allow may command a worker here")
	} else {
		e.Stdout.Printf("  fleet        %s (%s)\n  fingerprint  %s\n", s.FleetName, s.Fleet.Short(), s.Fingerprint)
		e.Stdout.Printf("  here         %s, %s, until %s\n", s.Name, s.Role, output.Day(*s.Expires))
	}
	for _, warning := range s.Warnings {
		e.Stdout.Printf("  WARNING      %s\n", warning)
	}
	for i, m := range s.May {
		head := ""
		if i == 0 {
			head = "may command"
		}
		e.Stdout.Printf("  %-12s %s: %s\n", head, m.Name, rightsText(m))
	}
	e.Stdout.Printf("  may run      %s\n", s.Policy)
	for i, entry := range s.Lately {
		head := ""
		if i == 0 {
			head = "lately"
		}
		e.Stdout.Printf("  %-12s %s\n", head, output.OneLine(entry.Text()))
	}
	for i, r := range s.Refused {
		head := ""
		if i == 0 {
			head = "within a day"
		}
		e.Stdout.Printf("  %-12s %s\n", head, r.Text())
	}
	e.Stdout.Println("  Workloads run with the rights of the worker.")
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
