package signing

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Change says what was signed, as a line of JSON.
type Change struct {
	Event   string     `json:"event"`
	Peer    peer.ID    `json:"peer,omitzero"`
	Name    string     `json:"name,omitzero"`
	Serial  string     `json:"serial,omitzero"`
	Expires *time.Time `json:"expires,omitzero"`
}

// Give signs a member's grant again after a change, and delivers it.
func (s *Signer) Give(ctx context.Context, word, event string, c admin.Change, edit func(*trust.Grant) error) error {
	adm, err := s.Admin()
	if err != nil {
		return err
	}
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
	if err := s.Look(adm, m); err != nil {
		return err
	}
	c.Looked = true
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
	line := Change{Event: event, Peer: m.Peer, Name: g.Name, Serial: g.Line.Serial, Expires: &until}
	if err := s.Print(line, func() error {
		_, err := s.Stdout.Printf("%s: a new grant is signed for %s, until %s.\n", event, g.Name, output.Day(until))
		return err
	}); err != nil {
		return err
	}
	s.warnIssuer(g)
	news := agent.News{To: []peer.ID{m.Peer}}
	if !Listens(g.Role) {
		news = agent.News{About: []peer.ID{m.Peer}}
	}
	if c.Narrow || g.MayIssue != nil {
		news.To = nil
	}
	if c.Narrow {
		news.Keep = adm.Revocations(m.Peer, nil)
	}
	_, err = s.Deliver(ctx, news)
	return err
}

// warnIssuer prints what a person must know of an issuer's grant.
func (s *Signer) warnIssuer(g *trust.Grant) {
	if g.MayIssue == nil || s.JSON {
		return
	}
	s.Stderr.Printf("On %s the machines that %s has let in stop obeying everybody until a controller for all has "+
		"met them, unless the root renews it before (swarm renew %s --as-root). Until then a machine that hears of "+
		"nothing would obey a stolen %s.\n",
		output.Day(g.ExpiresAt()), g.Name, g.Name, g.Name)
}

// Listens reports whether members of a role can be called.
func Listens(r trust.Role) bool { return r == trust.RoleWorker || r == trust.RoleRelay }
