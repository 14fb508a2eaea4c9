package join

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

// waitWithin is how long a joiner may stay whose ticket is good, and whom a person has yet to
// confirm.
const waitWithin = 15 * time.Minute

// Config is what a Redeemer works with.
type Config struct {
	Fleet *trust.Fleet
	// Tickets are those that this node redeems; nil means none.
	Tickets *ticket.Book
	Self    peer.ID
	Key     crypto.PrivKey // of this node
	Host    Host
	// Members are all members of the fleet, and where they are.
	Members func() []membership.Contact
	// Statements returns some of those that all members keep, no more than most.
	Statements func(most int) [][]byte
	Strangers  Strangers
	// Joined is called with each machine that has joined; nil is allowed.
	Joined func(peer.ID, trust.Grant)
	// Hint returns what a person does next about an error, to be put behind its words; or nothing.
	Hint   func(error) string
	Logger *slog.Logger
}

// Host is what is needed of the node's host.
type Host interface {
	Addrs() []multiaddr.Multiaddr
	Book() *book.Book
	Keep(peer.AddrInfo)
}

// Strangers keeps account of peers that are no members.
type Strangers interface {
	// Promote says that a peer is a member now.
	Promote(peer.ID)
	// Extend lets the peer of a connection stay until some time from now.
	Extend(network.Conn, time.Duration)
}

// Redeemer lets machines in for tickets.
type Redeemer struct {
	cfg Config
	log *slog.Logger
}

// NewRedeemer makes a redeemer.
func NewRedeemer(cfg Config) *Redeemer { return &Redeemer{cfg, cfg.Logger} }

// Register serves joining machines, and members that hand over tickets for this node to redeem, on
// m.
func (r *Redeemer) Register(m *streams.Mux) error {
	return errors.Join(Join.Handle(m, r.redeem), PutTicket.Handle(m, r.takeTicket))
}

// redeem admits the bearer of a ticket. Only a peer that knows the ticket's ID learns who we are,
// and only a peer that knows its secret learns what became of it.
func (r *Redeemer) redeem(_ context.Context, p streams.Peer, req Request) (Ack, error) {
	if r.cfg.Tickets == nil || r.cfg.Fleet.Self().Grant.MayIssue == nil {
		return Ack{}, streams.Errorf(streams.CodeUnsupported, "this machine redeems no tickets")
	}
	if len(req.Secret) == 0 {
		if _, err := r.cfg.Tickets.State(req.Ticket); err != nil {
			return Ack{}, r.ticketError(err)
		}
		return Ack{Redeemer: r.cfg.Fleet.Chain().JSON()}, nil
	}
	inv, chain, err := r.cfg.Tickets.Check(req.Ticket, req.Secret, p.ID, r.cfg.Fleet.Now())
	if err != nil {
		r.refused(req.Ticket, p.ID, err)
		return Ack{}, r.ticketError(err)
	}
	if chain == nil {
		if inv.Confirm && !inv.Confirmed {
			r.cfg.Strangers.Extend(p.Conn, waitWithin)
			return Ack{Waiting: true}, r.ticketError(r.cfg.Tickets.Ask(req.Ticket, p.ID))
		}
		if chain, err = r.letIn(inv, p.ID, req.Accept); err != nil {
			return Ack{}, r.ticketError(err)
		}
	}
	r.joined(p, req, chain)
	if m, ok := r.cfg.Fleet.Known(p.ID); ok && m.Err == nil {
		chain = m.Chain // with that of its sponsor
	}
	return Ack{
		Redeemer: r.cfg.Fleet.Chain().JSON(), Grant: chain.JSON(), Fleet: r.cfg.Fleet.Name(),
		Statements: r.cfg.Statements(maxCommon), Members: r.someMembers(p.ID),
	}, nil
}

// letIn signs the joiner's grant. The ticket counts as used from then on, even if the answer is
// lost.
func (r *Redeemer) letIn(inv *ticket.Invitation, p peer.ID, accept []byte) (trust.Chain, error) {
	f := r.cfg.Fleet
	if f.Revoked(p) {
		return nil, &trust.Blocked{Err: fmt.Errorf("%w: %s", trust.ErrRevokedPeer, p), Need: trust.NeedLift, Peer: p}
	}
	chain := inv.Chain
	if inv.Sender != "" {
		// It may have lost its rights since it made the ticket.
		if err := r.maySend(inv.Sender, inv); err != nil {
			return nil, err
		}
	}
	if chain == nil {
		s, err := f.Signer(r.cfg.Key)
		if err != nil {
			return nil, err
		}
		g := trust.Grant{
			Subject: p, Role: inv.Role, Name: inv.Name, Verbs: inv.Verbs, On: inv.On, Labels: inv.Labels,
			Line: trust.TicketLine(f.ID(), r.cfg.Self, p, inv.ID), Accept: accept, Sponsor: inv.Sender,
		}
		if inv.LifetimeMs > 0 {
			g.Expires, g.NoRenew = f.Now().UnixMilli()+inv.LifetimeMs, true
		}
		if err := f.Issuance().Number(s, &g); err != nil {
			return nil, err
		}
		if chain, err = s.Issue(g, f.Now()); err != nil {
			return nil, err
		}
	}
	return r.cfg.Tickets.Use(inv.ID, p, chain, f.Now())
}

// joined remembers the new member, and where it will be.
func (r *Redeemer) joined(p streams.Peer, req Request, chain trust.Chain) {
	grant, err := r.cfg.Fleet.Admit(p.ID, chain)
	if err != nil {
		r.log.Warn("a new member is not to be remembered", "peer", p.ID, "err", err)
		return
	}
	r.cfg.Strangers.Promote(p.ID)
	r.log.Info("a machine joined the fleet", "name", grant.Name, "peer", p.ID, "role", grant.Role)
	listens := joinAddrs(p.Conn.RemoteMultiaddr(), req.Addrs)
	_, err = r.cfg.Host.Book().Update(p.ID, func(m *book.Entry) {
		m.Confirm(grant.Name, string(grant.Role), grant.Labels)
		if len(listens) > 0 {
			m.Addrs = listens
		}
		m.LastSeen = time.Now().UnixMilli()
	})
	if err != nil {
		r.log.Warn("a new member could not be saved", "peer", p.ID, "err", err)
	}
	if r.cfg.Joined != nil {
		r.cfg.Joined(p.ID, *grant)
	}
	r.cfg.Host.Keep(peer.AddrInfo{ID: p.ID})
}

// joinAddrs returns where a joiner will listen: first the address that we see, with the ports that
// it names, then the addresses that it names.
func joinAddrs(seen multiaddr.Multiaddr, told []string) (out []string) {
	add := func(a multiaddr.Multiaddr) {
		if text := a.String(); len(out) < maxAddrs && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	var parsed []multiaddr.Multiaddr
	for _, s := range told {
		if a, err := multiaddr.NewMultiaddr(s); err == nil && manet.IsThinWaist(a) {
			parsed = append(parsed, a)
		}
	}
	if ip, _ := multiaddr.SplitFirst(seen); ip != nil {
		for _, a := range parsed {
			if _, rest := multiaddr.SplitFirst(a); rest != nil {
				add(ip.Multiaddr().Encapsulate(rest))
			}
		}
	}
	for _, a := range parsed {
		add(a)
	}
	return out
}

func (r *Redeemer) refused(id string, p peer.ID, err error) {
	if errors.Is(err, ticket.ErrUnknown) {
		return // a stranger without the secret is no event of this ticket
	}
	r.log.Warn("a ticket was refused", "ticket", id, "peer", p, "why", err)
	if err := r.cfg.Tickets.Refused(id, p); err != nil {
		r.log.Warn("a refusal could not be noted", "ticket", id, "err", err)
	}
}

// ticketError puts what a ticket book says in the terms of streams.
func (r *Redeemer) ticketError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ticket.ErrUnknown):
		return streams.Errorf(
			streams.CodeNotFound, "the ticket is not known here, or it was altered%s", r.cfg.Hint(err))
	case errors.Is(err, ticket.ErrUsed):
		return streams.Errorf(
			streams.CodeConflict, "the ticket was used by another machine already%s", r.cfg.Hint(err))
	case errors.Is(err, ticket.ErrExpired):
		return streams.Errorf(streams.CodeForbidden, "the ticket has expired%s", r.cfg.Hint(err))
	case errors.Is(err, ticket.ErrOtherPeer):
		return streams.Errorf(streams.CodeForbidden, "the ticket is for another machine")
	case errors.Is(err, ticket.ErrDenied):
		return streams.Errorf(streams.CodeForbidden, "the inviter did not confirm this machine")
	case errors.Is(err, trust.ErrIssuer), errors.Is(err, trust.ErrOwnGrant), errors.Is(err, trust.ErrRevokedPeer):
		return streams.Errorf(streams.CodeForbidden, "the inviter may not let this machine in: %v%s", err, r.cfg.Hint(err))
	}
	return err
}

// maySend returns why a member may not hand over a ticket for this node to redeem. A peer that this
// machine's owner allows without a grant has the right to admit, and no more.
func (r *Redeemer) maySend(p peer.ID, inv *ticket.Invitation) error {
	if err := r.cfg.Fleet.May(p, trust.VerbAdmit); err != nil {
		return fmt.Errorf("%w: the one who made the ticket: %w", trust.ErrIssuer, err)
	}
	sender, known := r.cfg.Fleet.Known(p)
	if !known || sender.Err != nil {
		sender.Grant = &trust.Grant{Name: p.String()}
	}
	if err := sender.Grant.MayInvite(inv.Grant()); err != nil {
		return err
	}
	if sender.Grant.Sponsor != "" && inv.Commands() {
		return fmt.Errorf("%w: %s came in by a ticket of another member, so it cannot bring in who may do anything",
			trust.ErrIssuer, sender.Grant.Name)
	}
	return nil
}

// takeTicket keeps a ticket that another member made for this node to redeem. It grants no more
// than our own grant may give, and no more than its maker may.
func (r *Redeemer) takeTicket(_ context.Context, p streams.Peer, req TicketRequest) (TicketAck, error) {
	own := r.cfg.Fleet.Self()
	if r.cfg.Tickets == nil || own.Grant.MayIssue == nil {
		return TicketAck{}, streams.Errorf(streams.CodeRefused,
			"this machine has no grant to let others in%s",
			r.cfg.Hint(&trust.Blocked{Need: trust.NeedIssuer, Peer: own.Grant.Subject, Name: own.Grant.Name}))
	}
	var inv ticket.Invitation
	if err := json.Unmarshal(req.Invitation, &inv); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: %v", err)
	}
	if time.Until(inv.Expires) > maxTicketLife {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: it lasts longer than %v", maxTicketLife)
	}
	if err := r.maySend(p.ID, &inv); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeForbidden, "invitation: %v", err)
	}
	if inv.Peer == "" && inv.NeedsPerson() {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid,
			"invitation: it lets a %s do more than read, and nobody can confirm it here: name its peer ID%s",
			inv.Role, r.cfg.Hint(&trust.Blocked{Need: trust.NeedPeerID}))
	}
	inv.By, inv.Sender, inv.Chain = p.ID.String(), p.ID, nil
	if err := r.cfg.Tickets.Add(inv, req.Secret); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: %v", err)
	}
	var ack TicketAck
	listens := r.cfg.Host.Addrs()
	for _, a := range listens[:min(len(listens), maxAddrs)] {
		ack.Addrs = append(ack.Addrs, a.String())
	}
	return ack, nil
}

// someMembers returns up to 32 members for a joiner; those that help to find the others come first.
func (r *Redeemer) someMembers(but peer.ID) []membership.Contact {
	all := slices.DeleteFunc(r.cfg.Members(),
		func(m membership.Contact) bool { return m.Peer == but || len(m.Record) == 0 && m.Peer != r.cfg.Self })
	rank := func(m membership.Contact) int {
		known, ok := r.cfg.Fleet.Known(m.Peer)
		switch {
		case m.Peer == r.cfg.Self:
			return 0
		case !ok: // it was forgotten meanwhile
			return 3
		case known.Grant.Role == trust.RoleRelay:
			return 1
		case known.Grant.MayIssue != nil || known.Grant.Role == trust.RoleController:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b membership.Contact) int { return rank(a) - rank(b) })
	return all[:min(len(all), membership.MaxContacts)]
}
