package main

import (
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
