// Package admin makes and administers a fleet: init, invite and join, grants, revocations, renewal,
// and restoring a fleet from its sheet.
package admin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/nearest"
)

var (
	// ErrNeedRoot: only the fleet's root key can sign this.
	ErrNeedRoot = errors.New("this needs the fleet's root key")
	// ErrUnknownMember: nobody of the fleet is called so here.
	ErrUnknownMember = errors.New("no such member")
)

// Admin signs for the fleet on one machine: grants, revocations, tickets. It
// writes them to the state directory and connects with nobody; a controller's Deliver
// takes them to the machines. Several processes may
// do this at a time.
type Admin struct {
	Fleet   *trust.Fleet
	Tickets *ticket.Book
	Book    *book.Book

	stateDir string
	key      crypto.PrivKey
	root     *trust.Root // nil until UnlockRoot
}

// OpenAdmin opens the fleet of a state directory. The error matches
// trust.ErrNoFleet when there is none.
func OpenAdmin(stateDir string, log *slog.Logger) (*Admin, error) {
	if !trust.InFleet(fleetdir.Dir(stateDir)) {
		return nil, fmt.Errorf("%w; make one with: swarm init; or join one with: swarm join", trust.ErrNoFleet)
	}
	key, self, err := fleetdir.Identity(stateDir)
	if err != nil {
		return nil, err
	}
	f, err := trust.OpenFleet(fleetdir.Config(stateDir, self, nil, log))
	if err != nil {
		return nil, err
	}
	book, err := book.Open(book.Dir(stateDir), log)
	if err != nil {
		return nil, err
	}
	tickets, err := fleetdir.OpenTickets(stateDir)
	if err != nil {
		return nil, err
	}
	return &Admin{Fleet: f, Tickets: tickets, Book: book, stateDir: stateDir, key: key}, nil
}

// UnlockRoot loads the root key, so that what follows is signed by the root. An
// empty path means root.key in the state directory.
func (a *Admin) UnlockRoot(path, passphrase string) error {
	path = cmp.Or(path, fleetdir.RootKeyPath(a.stateDir))
	root, err := rootkey.Load(path, passphrase)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w, and there is none at %s: bring it here, or name its file with --root", ErrNeedRoot, path)
	}
	if err != nil {
		return err
	}
	if root.Fleet() != a.Fleet.ID() {
		return fmt.Errorf("the root key in %s is of another fleet, %s", path, root.Fleet().Short())
	}
	a.root = root
	return nil
}

// Root returns the unlocked root key, or nil.
func (a *Admin) Root() *trust.Root { return a.root }

// signer is the root when it is unlocked, else this member.
func (a *Admin) signer() (*trust.Signer, error) {
	if a.root != nil {
		return a.root.Signer()
	}
	own := a.Fleet.Self()
	if own.Grant.MayIssue == nil {
		return nil, fmt.Errorf("%s has no right to sign for others: do this on a machine that has, or with the root key (--root FILE)", own.Grant.Name)
	}
	return a.Fleet.Signer(a.key)
}

func (a *Admin) rootSigner() (*trust.Signer, error) {
	if a.root == nil {
		return nil, ErrNeedRoot
	}
	return a.root.Signer()
}

// Find returns the member that a word means: a peer ID, a name, or the beginning of a peer ID. The
// name of a revoked one may have been given to another since. The error matches
// [ErrUnknownMember].
func (a *Admin) Find(word string) (trust.Member, error) {
	return a.find(word, func(m trust.Member) bool { return !errors.Is(m.Err, trust.ErrRevokedPeer) })
}

// FindRevoked is Find among those that were revoked.
func (a *Admin) FindRevoked(word string) (trust.Member, error) {
	return a.find(word, func(m trust.Member) bool { return a.Fleet.Revoked(m.Peer) })
}

func (a *Admin) find(word string, want func(trust.Member) bool) (trust.Member, error) {
	var named, prefixed []trust.Member
	own := a.Fleet.Self()
	members := slices.DeleteFunc(a.Fleet.Members(), func(m trust.Member) bool { return m.Peer == own.Grant.Subject })
	if id, err := peer.Decode(word); err == nil {
		return a.byID(id, own) // a whole peer ID always means that peer
	}
	for _, m := range append(members, trust.Member{Peer: own.Grant.Subject, Credential: own}) {
		if m.Grant.Name == word && want(m) {
			named = append(named, m)
		}
		if book.MatchesID(word, m.Peer) {
			prefixed = append(prefixed, m)
		}
	}
	if len(named) == 0 {
		named = prefixed
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		names := make([]string, len(members))
		for i, m := range members {
			names[i] = m.Grant.Name
		}
		return trust.Member{}, fmt.Errorf("%w: nobody of the fleet is known as %q here%s; see: swarm members",
			ErrUnknownMember, word, nearest.Hint(word, names))
	}
	return trust.Member{}, fmt.Errorf("%w: %q are %d members: use the peer ID; see: swarm members",
		ErrUnknownMember, word, len(named))
}

// byID returns the member with a peer ID.
func (a *Admin) byID(id peer.ID, own trust.Credential) (trust.Member, error) {
	if id == own.Grant.Subject {
		return trust.Member{Peer: id, Credential: own}, nil
	}
	if m, ok := a.Fleet.Known(id); ok {
		return m, nil
	}
	return trust.Member{}, fmt.Errorf("%w: no grant of %s is known here; see: swarm members", ErrUnknownMember, id)
}

// FindSerial returns the line of a serial. The error matches [ErrUnknownMember], and names the
// nearest serial that is known.
func (a *Admin) FindSerial(serial string) (trust.Line, trust.Member, error) {
	var serials []string
	for _, m := range a.Fleet.Members() {
		if m.Grant.Line.Serial == serial {
			return m.Grant.Line, m, nil
		}
		serials = append(serials, m.Grant.Line.Serial)
	}
	return trust.Line{}, trust.Member{}, fmt.Errorf("%w: no grant with the serial %s is known here%s; see: swarm members --json",
		ErrUnknownMember, serial, nearest.Hint(serial, serials))
}

// Ticket says what Invite shall make a ticket for.
type Ticket struct {
	Name   string
	Role   trust.Role
	Labels map[string]string
	Verbs  []string // nil means those of the role
	On     string   // the machines where the verbs hold
	// TTL is how long the ticket can be used.
	TTL time.Duration
	// Lifetime is how long the grant lasts; 0 means the role's, renewed by itself.
	Lifetime time.Duration
	// Peer, if it is known, is the only one that may use the ticket.
	Peer peer.ID
	// Redeemer is who redeems it, where; empty means this member.
	Redeemer peer.AddrInfo
}

// Invite makes a ticket, and notes in the book of this machine what it is worth.
// The invitation is for another redeemer's book.
func (a *Admin) Invite(t Ticket) (*ticket.Ticket, *ticket.Invitation, error) {
	if m, err := a.Find(t.Name); err == nil && m.Grant.Name == t.Name && m.Peer != t.Peer {
		return nil, nil, fmt.Errorf("there is a member %s already (%s): choose another name, or rename that one: swarm rename", t.Name, m.Peer)
	}
	now := a.Fleet.Now()
	out, err := ticket.New(ticket.Ticket{
		Fleet: a.Fleet.ID(), FleetName: a.Fleet.Name(), Redeemer: t.Redeemer.ID, Addrs: t.Redeemer.Addrs,
		Role: t.Role, Name: t.Name, Labels: t.Labels, Expires: now.Add(t.TTL),
	})
	if err != nil {
		return nil, nil, err
	}
	inv := &ticket.Invitation{
		ID: out.ID, Name: t.Name, Role: t.Role, Verbs: t.Verbs, On: t.On, Labels: t.Labels, LifetimeMs: t.Lifetime.Milliseconds(),
		Expires: out.Expires, Peer: t.Peer, By: a.Fleet.Self().Grant.Name,
	}
	inv.Confirm = inv.NeedsPerson() && t.Peer == ""
	if err := a.presign(t, inv); err != nil {
		return nil, nil, err
	}
	if t.Redeemer.ID == a.self() {
		err = a.Tickets.Add(*inv, out.Secret)
	}
	return out, inv, err
}

func (a *Admin) self() peer.ID { return a.Fleet.Self().Grant.Subject }

// presign signs what the redeemer cannot, and tries what it can: a ticket that
// could not be redeemed is told now.
func (a *Admin) presign(t Ticket, inv *ticket.Invitation) error {
	g := trust.Grant{Subject: t.Peer, Role: t.Role, Name: t.Name, Verbs: t.Verbs, On: t.On, Labels: t.Labels}
	if t.Lifetime > 0 {
		g.Expires, g.NoRenew = a.Fleet.Now().Add(t.Lifetime).UnixMilli(), true
	}
	if t.Role == trust.RoleIssuer {
		switch {
		case t.Peer == "":
			return errors.New("an issuer is named by its peer ID: ask for it with \"swarm id\" on that machine, and give it as --peer")
		case a.root == nil:
			return fmt.Errorf("%w to make an issuer", ErrNeedRoot)
		}
		if g.Verbs == nil {
			g.Verbs = issuerVerbs()
		}
		g.MayIssue = issuerBounds()
		g.MayIssue.Verbs = g.Verbs
		g.MayIssue.ForAll = g.On == ""
	}
	own := a.Fleet.Self().Grant
	if a.root == nil && own.MayIssue == nil && t.Redeemer.ID != a.self() {
		return own.MayInvite(inv.Grant()) // the redeemer signs, on our word
	}
	s, err := a.signer()
	if err != nil {
		return err
	}
	if err := s.MayGive(&g); err != nil || a.root == nil || t.Peer == "" {
		return err
	}
	if a.Fleet.Revoked(t.Peer) {
		return fmt.Errorf("%s was revoked: lift that first, with the root key: swarm revoke --lift %s", t.Peer, t.Peer)
	}
	if err := a.Fleet.Issuance().Number(s, &g); err != nil {
		return err
	}
	inv.Chain, err = s.Issue(g, a.Fleet.Now())
	return err
}

// ErrLookFirst: a person has to look at a member before anything is signed for it.
var ErrLookFirst = errors.New("look at it first")

// LookFirst returns why a person has to look at a member before anything is signed for it, or nil:
// the one on whose word it is a member has ended; or another issuer gave its rights, and whoever
// signs for it, be it a new label, gives them as well. The error matches [ErrLookFirst].
func (a *Admin) LookFirst(m trust.Member) error {
	g := m.Grant
	switch {
	case fleetdir.Waits(m):
		return fmt.Errorf("%w: the one on whose word %s is a member has ended: swarm renew %s", ErrLookFirst, g.Name, g.Name)
	case len(g.Verbs)+len(g.Also) > 0 && g.By != a.Fleet.Root() && g.By != a.self():
		return fmt.Errorf("%w: %s has rights that %s gave, and who signs for it gives them, too: swarm renew %s",
			ErrLookFirst, g.Name, a.nameOf(g.By), g.Name)
	}
	return nil
}

// nameOf returns what a peer is called here, or its ID.
func (a *Admin) nameOf(p peer.ID) string {
	if m, ok := a.Fleet.Known(p); ok {
		return m.Grant.Name
	}
	return p.String()
}

// Change is what a person decides about a member.
type Change struct {
	// Looked says that the person has seen what is known of a member: see [Admin.LookFirst].
	Looked bool

	// Edit changes what the member holds.
	Edit func(*trust.Grant)
	// Narrow ends all that the member held before.
	Narrow bool
	// Reinstate brings an issuer back that the root has ended.
	Reinstate bool
}

// Give signs a member's grant anew after a change, and keeps it for the member.
func (a *Admin) Give(m trust.Member, c Change) (*trust.Grant, error) {
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	if m.Grant.MayIssue != nil && a.root == nil {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrNeedRoot, m.Grant.Name)
	}
	if err := a.LookFirst(m); err != nil && !c.Looked {
		return nil, err
	}
	before := m.Grant.Name
	d := trust.Decision{Grant: *m.Grant, Narrow: c.Narrow, Reinstate: c.Reinstate, Extend: !c.Reinstate}
	if c.Edit != nil {
		c.Edit(&d.Grant)
	}
	if other, err := a.Find(d.Grant.Name); err == nil && d.Grant.Name != before && other.Peer != m.Peer {
		return nil, fmt.Errorf("there is a member %s already (%s)", d.Grant.Name, other.Peer)
	}
	if d.Grant.Verbs == nil {
		d.Grant.Verbs = []string{} // none, and not those of the role
	}
	if !d.Grant.NoRenew {
		d.Grant.Expires = 0
	}
	if _, err := a.Fleet.Issuance().Decide(s, d); err != nil {
		return nil, err
	}
	return a.keep(m.Peer)
}

// keep notes what a member is called from now on. It gets its grant at the next contact.
func (a *Admin) keep(p peer.ID) (*trust.Grant, error) {
	m, ok := a.Fleet.Known(p)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnknownMember, p)
	}
	_, err := a.Book.Update(p, func(e *book.Entry) { e.Confirm(m.Grant.Name, string(m.Grant.Role), m.Grant.Labels) })
	return m.Grant, err
}

// RenewDue signs a member's grant for a further life, as far as a machine does so by itself. What a
// person has to decide matches trust.ErrNeedsPerson.
func (a *Admin) RenewDue(m trust.Member) (*trust.Grant, error) {
	if fleetdir.Waits(m) {
		return nil, fmt.Errorf("%w: the one on whose word %s is a member has ended: swarm renew %s",
			trust.ErrNeedsPerson, m.Grant.Name, m.Grant.Name)
	}
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	if _, err := a.Fleet.Issuance().Renew(s, m.Peer); err != nil {
		return nil, err
	}
	return a.keep(m.Peer)
}

// Renew signs a member's grant for a further life, because a person has named it and has looked:
// also what a machine does not sign by itself.
func (a *Admin) Renew(m trust.Member) (*trust.Grant, error) {
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	if m.Grant.MayIssue != nil && a.root == nil {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrNeedRoot, m.Grant.Name)
	}
	if m.Err == nil && !m.Unconfirmed {
		if _, err := a.Fleet.Issuance().Renew(s, m.Peer); err == nil || !errors.Is(err, trust.ErrNeedsPerson) {
			if err != nil {
				return nil, err
			}
			return a.keep(m.Peer)
		}
	}
	return a.Give(m, Change{Looked: true})
}

// Revoke throws peers out, or ends lines, for all who hear of it. When it returns nil, it has
// looked: none of them holds anything here.
func (a *Admin) Revoke(peers []peer.ID, lines []trust.Line) error {
	s, err := a.signer()
	if err != nil {
		return err
	}
	if slices.Contains(peers, a.self()) && a.root == nil {
		return errors.New("that is this machine itself: to throw it out use another one, or the root key; to go by yourself: swarm leave")
	}
	return a.Fleet.Issuance().Revoke(s, peers, lines)
}

// Revocations returns those of a line, or of a peer and all of its lines, by who signs here.
func (a *Admin) Revocations(p peer.ID, line *trust.Line) (out []trust.ID) {
	by, lines := a.self(), []trust.Line{}
	if a.root != nil {
		by = a.Fleet.Root()
	}
	if line != nil {
		p, lines = "", append(lines, *line)
	}
	for _, g := range a.Fleet.Grants(p) {
		lines = append(lines, g.Line)
	}
	for _, st := range a.Fleet.Revocations() {
		r := st.Revocation
		if st.Signer == by && (p != "" && r.Peer == p || r.Line != nil && slices.Contains(lines, *r.Line)) {
			out = append(out, st.ID)
		}
	}
	return out
}

// Lift ends the revocations of a peer or a line. It needs the root.
func (a *Admin) Lift(p peer.ID, lines ...trust.Line) (int, error) {
	s, err := a.rootSigner()
	if err != nil {
		return 0, err
	}
	return a.Fleet.Issuance().Lift(s, p, lines...)
}

// Close ends all that an ended issuer has revoked, but for what stands. It needs the root.
func (a *Admin) Close(c trust.Closing) error {
	s, err := a.rootSigner()
	if err != nil {
		return err
	}
	return a.Fleet.Issuance().Close(s, c)
}

// Waive lets a machine obey again without statements that it has lost. It needs the root.
func (a *Admin) Waive(machine peer.ID, ids []trust.ID) error {
	s, err := a.rootSigner()
	if err != nil {
		return err
	}
	return a.Fleet.Issuance().Waive(s, machine, ids)
}

// WordOf returns the signer on whose word a grant stands first of all.
func WordOf(g *trust.Grant) peer.ID {
	if len(g.Origins) > 0 {
		return g.Origins[0].By
	}
	return g.By
}

// NoteSheet notes which issuers a sheet names that is about to be printed.
func (a *Admin) NoteSheet(s *rootkey.Sheet) error { return fleetdir.NoteSheet(a.stateDir, s) }

// Orphans are the members of whom a person has to decide after a signer has ended: those whose
// rights count no more, and those that a machine has signed anew by itself. An empty issuer means
// any.
func (a *Admin) Orphans(issuer peer.ID) (out []trust.Member) {
	for _, m := range a.Fleet.Members() {
		if fleetdir.Waits(m) && (issuer == "" || a.onWordOf(m.Grant, issuer)) {
			out = append(out, m)
		}
	}
	return out
}

// onWordOf reports whether a grant stands on the word of an issuer: its own, or that on which
// another has signed, or by the ticket of a member that it made.
func (a *Admin) onWordOf(g *trust.Grant, issuer peer.ID) bool {
	signed := func(g *trust.Grant) bool {
		return g.By == issuer || slices.ContainsFunc(g.Origins, func(o trust.Origin) bool { return o.By == issuer })
	}
	sponsor, known := a.Fleet.Known(g.Sponsor)
	return signed(g) || g.Sponsor == issuer || known && signed(sponsor.Grant)
}

// Sheet returns what is to be kept on paper. The root has to be unlocked.
func (a *Admin) Sheet() (*rootkey.Sheet, error) {
	if a.root == nil {
		return nil, ErrNeedRoot
	}
	s := &rootkey.Sheet{Root: a.root, FleetName: a.Fleet.Name(), Controller: a.self()}
	for _, saved := range a.Book.All() {
		m, ok := a.Fleet.Known(saved.Peer)
		if !ok || m.Err != nil || !saved.HasAddr() || saved.Peer == a.self() {
			continue
		}
		info := saved.AddrInfo()
		if m.Grant.Role == trust.RoleRelay {
			s.Relays = append(s.Relays, info)
		} else {
			s.Members = append(s.Members, info)
		}
	}
	s.Shorten()
	s.Issuers, s.Delegates = a.Fleet.Issuers()
	return s, nil
}

// ParseVerbs reads verbs separated by commas; the word none means no verb at all.
func ParseVerbs(text string) []string {
	switch text {
	case "":
		return nil
	case "none":
		return []string{}
	}
	return strings.Split(text, ",")
}

// ChangeLabels applies words of the form key=value, or key- to remove one.
func ChangeLabels(labels map[string]string, words []string) (map[string]string, error) {
	out := maps.Clone(labels)
	if out == nil {
		out = make(map[string]string)
	}
	for _, w := range words {
		if k, ok := strings.CutSuffix(w, "-"); ok && !strings.Contains(w, "=") {
			delete(out, k)
			continue
		}
		set, err := agent.ParseLabels([]string{w})
		if err != nil {
			return nil, err
		}
		maps.Copy(out, set)
	}
	return out, nil
}

// Warnings returns, in words, whose grants end within 30 days or have ended, and who renews them:
// this machine's own first.
func (a *Admin) Warnings() []string {
	out := fleetdir.Warnings(a.Fleet)
	if w := fleetdir.SheetWarning(a.Fleet, a.stateDir); w != "" {
		out = append(out, w)
	}
	return out
}
