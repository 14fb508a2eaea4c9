package signing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Member is a member as a line of JSON.
type Member struct {
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
	// State is member, unconfirmed, expired, revoked, signer ended or sponsor ended.
	State string `json:"state"`
	// Why says why it is no member, by whom and when.
	Why  string `json:"why,omitzero"`
	Self bool   `json:"self,omitzero"`
}

// Members returns all members as they are listed, this machine first.
func Members(adm *admin.Admin) (out []Member) {
	own := adm.Fleet.Self()
	all := adm.Fleet.Members()
	all = slices.DeleteFunc(all, func(m trust.Member) bool { return m.Peer == own.Grant.Subject })
	all = slices.Insert(all, 0, trust.Member{Peer: own.Grant.Subject, Credential: own, Err: adm.Fleet.SelfErr()})
	for _, m := range all {
		g := m.Grant
		l := Member{
			Peer: m.Peer, Name: g.Name, Role: g.Role, Labels: g.Labels, Verbs: g.Verbs, On: g.On, Also: g.Also, Serial: g.Line.Serial,
			Issuer: Name(adm, g.By), Expires: g.ExpiresAt().UTC(), State: stateWord(m), Self: m.Peer == own.Grant.Subject,
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

// Rights puts a member's rights in words.
func Rights(m Member) string {
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

// Describe is what a person looks at before signing for a member.
func Describe(adm *admin.Admin, m trust.Member) string {
	g := m.Grant
	verbs := "no rights"
	if rights := Rights(Member{Verbs: g.Verbs, On: g.On, Also: g.Also}); rights != "" {
		verbs = "rights: " + rights
	}
	state := ""
	if m.Err != nil {
		state = "; its signer has ended"
	} else if admin.WordOf(g) != g.By {
		state = "; signed anew by " + Name(adm, g.By)
	}
	var text strings.Builder
	text.WriteString(fmt.Sprintf("%s  %s\n  %s, labels %s, %s; signed by %s%s",
		g.Name, m.Peer, g.Role, output.Labels(g.Labels), verbs, Name(adm, admin.WordOf(g)), state))
	for _, other := range adm.Fleet.Grants(m.Peer) {
		if other.Name != g.Name || !maps.Equal(other.Labels, g.Labels) || !slices.Equal(other.Verbs, g.Verbs) {
			text.WriteString(fmt.Sprintf("\n  another paper, by %s, tells: %s, labels %s, verbs %v",
				Name(adm, other.By), other.Name, output.Labels(other.Labels), other.Verbs))
		}
	}
	return text.String()
}

// Name is what a signer is called.
func Name(adm *admin.Admin, p peer.ID) string {
	if p == adm.Fleet.Root() {
		return "root"
	}
	if m, ok := adm.Fleet.Known(p); ok {
		return m.Grant.Name
	}
	return p.String()
}
