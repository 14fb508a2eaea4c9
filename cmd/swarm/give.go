package main

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// changeLine says what was signed, as a line of JSON.
type changeLine struct {
	Event   string     `json:"event"`
	Peer    peer.ID    `json:"peer,omitzero"`
	Name    string     `json:"name,omitzero"`
	Serial  string     `json:"serial,omitzero"`
	Expires *time.Time `json:"expires,omitzero"`
}

// give signs a member's grant again after a change, and delivers it.
func (s *signing) give(ctx context.Context, word, event string, c admin.Change, edit func(*trust.Grant) error) error {
	adm, err := s.admin()
	if err != nil {
		return err
	}
	m, err := adm.Find(word)
	if err != nil {
		return err
	}
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
	line := changeLine{Event: event, Peer: m.Peer, Name: g.Name, Serial: g.Line.Serial, Expires: &until}
	if err := s.Print(line, func() error {
		_, err := s.Stdout.Printf("%s: a new grant is signed for %s, until %s.\n", event, g.Name, output.Day(until))
		return err
	}); err != nil {
		return err
	}
	s.warnIssuer(g)
	news := agent.News{To: []peer.ID{m.Peer}}
	if !listens(g.Role) {
		news = agent.News{About: []peer.ID{m.Peer}}
	}
	if c.Narrow || g.MayIssue != nil {
		news.To = nil
	}
	_, err = s.deliver(ctx, news)
	return err
}

// warnIssuer prints what a person must know of an issuer's grant.
func (s *signing) warnIssuer(g *trust.Grant) {
	if g.MayIssue == nil || s.JSON {
		return
	}
	s.Stderr.Printf("On %s the machines that %s has let in stop obeying everybody until a controller for all has "+
		"met them, unless the root renews it before (swarm renew %s --as-root). Until then a machine that hears of "+
		"nothing would obey a stolen %s.\n",
		output.Day(g.ExpiresAt()), g.Name, g.Name, g.Name)
}

// listens tells whether members of a role can be called.
func listens(r trust.Role) bool { return r == trust.RoleWorker || r == trust.RoleRelay }
