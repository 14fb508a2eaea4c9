package agent

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

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
)

var errNotExist = fs.ErrNotExist

var (
	// ErrNeedRoot: only the fleet's root key can sign this.
	ErrNeedRoot = errors.New("this needs the fleet's root key")
	// ErrUnknownMember: nobody of the fleet is called so here.
	ErrUnknownMember = errors.New("no such member")
)

// Admin signs for the fleet on one machine: grants, revocations, tickets. It
// writes them to the state directory and connects with nobody; Deliver of a
// [Controller] or a [Remote] takes them to the machines. Several processes may
// do this at a time.
type Admin struct {
	Fleet   *trust.Fleet
	Tickets *trust.TicketBook
	Book    *host.Book

	stateDir string
	key      crypto.PrivKey
	root     *trust.Root // nil until UnlockRoot
}

// OpenAdmin opens the fleet of a state directory. The error matches
// trust.ErrNoFleet when there is none.
func OpenAdmin(stateDir string, log *slog.Logger) (*Admin, error) {
	if !trust.InFleet(FleetDir(stateDir)) {
		return nil, fmt.Errorf("%w; make one with: swarm init; or join one with: swarm join", trust.ErrNoFleet)
	}
	key, self, err := nodeIdentity(stateDir)
	if err != nil {
		return nil, err
	}
	f, err := trust.OpenFleet(fleetConfig(stateDir, self, nil, log))
	if err != nil {
		return nil, err
	}
	book, err := host.OpenBook(host.BookDir(stateDir), log)
	if err != nil {
		return nil, err
	}
	tickets, err := openTickets(stateDir)
	if err != nil {
		return nil, err
	}
	return &Admin{Fleet: f, Tickets: tickets, Book: book, stateDir: stateDir, key: key}, nil
}

// UnlockRoot loads the root key, so that what follows is signed by the root. An
// empty path means root.key in the state directory.
func (a *Admin) UnlockRoot(path, passphrase string) error {
	path = cmp.Or(path, RootKeyPath(a.stateDir))
	root, err := trust.LoadRoot(path, passphrase)
	if errors.Is(err, errNotExist) {
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

// Find returns the member that a word means: a name, a peer ID or its beginning.
// The error matches [ErrUnknownMember].
func (a *Admin) Find(word string) (trust.Member, error) {
	var named, prefixed []trust.Member
	own := a.Fleet.Self()
	members := slices.DeleteFunc(a.Fleet.Members(), func(m trust.Member) bool { return m.Peer == own.Grant.Subject })
	for _, m := range append(members, trust.Member{Peer: own.Grant.Subject, Credential: own}) {
		if m.Grant.Name == word && !errors.Is(m.Err, trust.ErrRevokedPeer) {
			named = append(named, m)
		}
		if host.MatchesID(word, m.Peer) {
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
		return trust.Member{}, fmt.Errorf("%w: nobody of the fleet is known as %q here; see: swarm members", ErrUnknownMember, word)
	}
	return trust.Member{}, fmt.Errorf("%w: %q are %d members: use the peer ID; see: swarm members", ErrUnknownMember, word, len(named))
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
func (a *Admin) Invite(t Ticket) (*trust.Ticket, *trust.Invitation, error) {
	if m, err := a.Find(t.Name); err == nil && m.Grant.Name == t.Name && m.Peer != t.Peer {
		return nil, nil, fmt.Errorf("there is a member %s already (%s): choose another name, or rename that one: swarm rename", t.Name, m.Peer)
	}
	now := a.Fleet.Now()
	out, err := trust.NewTicket(trust.Ticket{
		Fleet: a.Fleet.ID(), FleetName: a.Fleet.Name(), Redeemer: t.Redeemer.ID, Addrs: t.Redeemer.Addrs,
		Role: t.Role, Name: t.Name, Labels: t.Labels, Expires: now.Add(t.TTL),
	})
	if err != nil {
		return nil, nil, err
	}
	inv := &trust.Invitation{
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
func (a *Admin) presign(t Ticket, inv *trust.Invitation) error {
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
	}
	if t.Peer == "" {
		g.Subject = a.self() // only to try
	}
	s, err := a.signer()
	if err != nil {
		return err
	}
	chain, err := s.Issue(g, a.Fleet.Now())
	if t.Role == trust.RoleIssuer || a.root != nil && t.Peer != "" {
		inv.Chain = chain
	}
	return err
}

// Give signs a member's grant anew after change, and keeps it for the member.
func (a *Admin) Give(m trust.Member, change func(*trust.Grant)) (*trust.Grant, error) {
	if a.Fleet.Records().Revoked().Peer(m.Peer) {
		return nil, fmt.Errorf("%s was revoked: lift that first, with the root key: swarm revoke --lift %s", m.Grant.Name, m.Peer)
	}
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	if m.Grant.MayIssue != nil && a.root == nil {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrNeedRoot, m.Grant.Name)
	}
	before := *m.Grant
	change(m.Grant)
	if other, err := a.Find(m.Grant.Name); err == nil && m.Grant.Name != before.Name && other.Peer != m.Peer {
		return nil, fmt.Errorf("there is a member %s already (%s)", m.Grant.Name, other.Peer)
	}
	m.Grant.NotBefore = 0
	if m.Grant.Verbs == nil {
		m.Grant.Verbs = []string{} // none, and not those of the role
	}
	chain, err := s.Issue(*m.Grant, a.Fleet.Now())
	if err != nil {
		return nil, err
	}
	return a.keep(m.Peer, chain)
}

// keep remembers a grant for its member, who gets it at the next contact.
func (a *Admin) keep(p peer.ID, chain trust.Chain) (*trust.Grant, error) {
	if p == a.self() {
		if _, err := a.Fleet.Renewed(chain); err != nil {
			return nil, err
		}
	}
	g, err := a.Fleet.Replace(p, chain)
	if err != nil {
		return nil, err
	}
	_, err = a.Book.Update(p, func(m *host.Member) { node.ApplyGrant(m, g) })
	return g, err
}

// Renew signs a member's grant for a further life of the same length.
func (a *Admin) Renew(m trust.Member) (*trust.Grant, error) {
	if a.Fleet.Records().Revoked().Peer(m.Peer) {
		return nil, fmt.Errorf("%s was revoked", m.Grant.Name)
	}
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	if m.Grant.MayIssue != nil && a.root == nil {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrNeedRoot, m.Grant.Name)
	}
	chain, err := s.Renew(m.Grant, a.Fleet.Now())
	if err != nil {
		return nil, err
	}
	return a.keep(m.Peer, chain)
}

// Revoke throws out what the change names, for all who hear of it.
func (a *Admin) Revoke(c trust.Change) error {
	s, err := a.signer()
	if err != nil {
		return err
	}
	if slices.Contains(c.RevokePeers, a.self()) && a.root == nil {
		return errors.New("that is this machine itself: to throw it out use another one, or the root key; to go by yourself: swarm leave")
	}
	return a.Fleet.Revise(s, c)
}

// Admitted returns the members who have their grants from an issuer.
func (a *Admin) Admitted(issuer peer.ID) (out []trust.Member) {
	for _, m := range a.Fleet.Members() {
		if m.Issuer != nil && m.Issuer.Subject == issuer && !a.Fleet.Records().Revoked().Peer(m.Peer) {
			out = append(out, m)
		}
	}
	return out
}

// Sheet returns what is to be kept on paper. The root has to be unlocked.
func (a *Admin) Sheet() (*trust.Sheet, error) {
	if a.root == nil {
		return nil, ErrNeedRoot
	}
	s := &trust.Sheet{Root: a.root, FleetName: a.Fleet.Name(), Controller: a.self()}
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
		set, err := ParseLabels([]string{w})
		if err != nil {
			return nil, err
		}
		maps.Copy(out, set)
	}
	return out, nil
}

// Warnings tells, in words, whose grants end within 30 days or have ended, and who
// renews them: this machine's own first.
func (a *Admin) Warnings() []string { return warnings(a.Fleet) }

func warnings(f *trust.Fleet) (out []string) {
	if f == nil {
		return nil
	}
	now, own := f.Now(), f.Self()
	if w := own.Grant.Warning(now); w != "" {
		if own.Grant.MayIssue != nil {
			w += " --as-root"
		}
		out = append(out, w)
	}
	for _, m := range f.Members() {
		mine := own.Grant.MayIssue != nil && m.Peer != own.Grant.Subject && !m.Grant.NoRenew
		if w := m.Grant.Warning(now); mine && w != "" && !f.Revoked(m.Peer) {
			out = append(out, w)
		}
	}
	if !f.ClockSane() {
		out = append(out, "the clock of this machine cannot be right: set it")
	}
	return out
}
