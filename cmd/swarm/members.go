package main

import (
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/output"
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
	State    string            `json:"state"` // member, unconfirmed, expired, revoked, signer ended, sponsor ended
	// Why says why it is no member, by whom and when.
	Why  string `json:"why,omitzero"`
	Self bool   `json:"self,omitzero"`
}

func newMembersCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "members",
		Short:   "Show who belongs to the fleet, with what rights and until when",
		Example: "  swarm members\n  swarm members --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dirs, err := e.stateDirs(inFleet)
			if err != nil {
				return err
			}
			if len(dirs) == 0 {
				s := newSigning(e)
				_, err := s.admin()
				return err // says what to do
			}
			adm, err := admin.OpenAdmin(dirs[0], e.log)
			if err != nil {
				return err
			}
			return listMembers(e, adm)
		},
	}
}

func listMembers(e *env, adm *admin.Admin) error {
	lines := memberLines(adm)
	if e.JSON {
		for _, l := range lines {
			if err := e.PrintJSON(l); err != nil {
				return err
			}
		}
		return nil
	}
	t := e.Stdout.Table("NAME", "ROLE", "LABELS", "STATE", "UNTIL", "LAST SEEN", "PEER")
	for _, l := range lines {
		seen := output.Unknown
		switch {
		case l.Self:
			seen = "this machine"
		case l.LastSeen != nil:
			seen = output.Seconds(time.Since(*l.LastSeen).Seconds()) + " ago"
		}
		t.Row(l.Name, l.Role, output.Labels(l.Labels), l.State, output.Day(l.Expires), seen, l.Peer)
	}
	return t.Flush()
}

func memberLines(adm *admin.Admin) (out []memberLine) {
	own := adm.Fleet.Self()
	all := adm.Fleet.Members()
	all = slices.DeleteFunc(all, func(m trust.Member) bool { return m.Peer == own.Grant.Subject })
	all = slices.Insert(all, 0, trust.Member{Peer: own.Grant.Subject, Credential: own, Err: adm.Fleet.SelfErr()})
	for _, m := range all {
		g := m.Grant
		l := memberLine{
			Peer: m.Peer, Name: g.Name, Role: g.Role, Labels: g.Labels, Verbs: g.Verbs, On: g.On, Also: g.Also, Serial: g.Line.Serial,
			Issuer: signerName(adm, g.By), Expires: g.ExpiresAt().UTC(), State: stateWord(m), Self: m.Peer == own.Grant.Subject,
		}
		if m.Err != nil {
			l.Why = m.Err.Error()
		}
		if e, ok := adm.Book.Get(m.Peer); ok && e.LastSeen > 0 {
			at := time.UnixMilli(e.LastSeen).UTC()
			l.LastSeen = &at
		}
		out = append(out, l)
	}
	return out
}

func stateWord(m trust.Member) string {
	switch {
	case m.Err == nil && m.Unconfirmed:
		return "unconfirmed"
	case m.Err == nil:
		return "member"
	case errors.Is(m.Err, trust.ErrSignerEnded):
		return "signer ended"
	case errors.Is(m.Err, trust.ErrSponsorEnded):
		return "sponsor ended"
	case errors.Is(m.Err, trust.ErrRevokedPeer), errors.Is(m.Err, trust.ErrRevokedLine):
		return "revoked"
	case errors.Is(m.Err, trust.ErrExpired):
		return "expired"
	default:
		return "not valid"
	}
}
