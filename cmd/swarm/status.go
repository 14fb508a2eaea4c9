package main

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/policy"
	"github.com/seed-b490fa12/swarm/internal/running"
	"github.com/seed-b490fa12/swarm/internal/signing"
)

// statusLine is one node of this machine, as a line of JSON.
type statusLine struct {
	Dir         string           `json:"dir"`
	Peer        peer.ID          `json:"peer"`
	Fleet       trust.FleetID    `json:"fleet,omitzero"`
	FleetName   string           `json:"fleetName,omitzero"`
	Fingerprint string           `json:"fingerprint,omitzero"`
	Name        string           `json:"name,omitzero"`
	Role        trust.Role       `json:"role,omitzero"`
	Expires     *time.Time       `json:"expires,omitzero"`
	Runs        *running.Process `json:"runs"` // nil for none
	Valid       bool             `json:"valid"`
	Warnings    []string         `json:"warnings"`
	May         []signing.Member `json:"may"` // who has rights on this node
	Policy      policy.Status    `json:"policy"`
	Lately      []audit.Entry    `json:"lately"` // the last of the audit log
	// Refused are the peers whose requests were refused within a day.
	Refused []audit.Refused `json:"refused"`
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := console.EachNode(cmd.Context(), e, cmd, console.HasIdentity, func(n console.Node) error {
				line, err := nodeStatus(e, n.Dir)
				if err != nil {
					return err
				}
				return e.Print(line, func() error { return printStatus(e, line) })
			})
			if n == 0 && err == nil {
				e.Stderr.Println("No node was ever run on this machine. Begin with: swarm init, or swarm join")
			}
			return err
		},
	}
}

func nodeStatus(e *env, dir string) (s statusLine, err error) {
	s = statusLine{Dir: dir, Warnings: []string{}, May: []signing.Member{}, Valid: true}
	if s.Peer, err = fleetdir.ID(dir); err != nil {
		return s, err
	}
	if p, ok := running.Look(dir); ok {
		s.Runs = &p
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
	adm, err := admin.OpenAdmin(dir, e.Log)
	if err != nil {
		return s, err
	}
	f, g := adm.Fleet, adm.Fleet.Self().Grant
	until := g.ExpiresAt().UTC()
	s.Fleet, s.FleetName, s.Fingerprint, s.Name, s.Role, s.Expires = f.ID(), f.Name(), f.ID().Fingerprint(), g.Name, g.Role, &until
	s.Valid = f.Whole() == nil && f.SelfErr() == nil
	s.Warnings = append(s.Warnings, adm.Warnings()...)
	for _, m := range signing.Members(adm) {
		if m.State == "member" && !m.Self && (len(m.Verbs) > 0 || len(m.Also) > 0) {
			s.May = append(s.May, m)
		}
	}
	return s, nil
}

func printStatus(e *env, s statusLine) error {
	e.Stdout.Printf("%s\n  peer         %s\n", s.Dir, s.Peer)
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
		e.Stdout.Printf("  %-12s %s: %s\n", head, m.Name, signing.Rights(m))
	}
	printRuns(e, s.Runs)
	works := s.Fleet == "" || s.Role == trust.RoleWorker
	if works {
		e.Stdout.Printf("  may run      %s\n", s.Policy)
	}
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
	if works {
		e.Stdout.Println("  Workloads run with the rights of the worker.")
	}
	return nil
}

func printRuns(e *env, p *running.Process) {
	if p == nil {
		e.Stdout.Println("  runs         no")
		return
	}
	e.Stdout.Printf("  runs         as %s, pid %d, since %s\n", p.Role, p.PID, p.Since.Format(time.RFC3339))
}
