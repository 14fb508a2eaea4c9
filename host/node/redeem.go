package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// redeem lets in the bearer of a ticket. Only one who knows the ticket's ID
// learns who we are, and only one who knows its secret learns what became of it.
func (n *Node) redeem(_ context.Context, p streams.Peer, r JoinRequest) (JoinAck, error) {
	if n.cfg.Tickets == nil || n.cfg.Fleet.Self().Grant.MayIssue == nil {
		return JoinAck{}, streams.Errorf(streams.CodeUnsupported, "this machine redeems no tickets")
	}
	if len(r.Secret) == 0 {
		if _, err := n.cfg.Tickets.State(r.Ticket); err != nil {
			return JoinAck{}, n.ticketError(err)
		}
		return JoinAck{Redeemer: n.cfg.Fleet.Chain().JSON()}, nil
	}
	inv, chain, err := n.cfg.Tickets.Check(r.Ticket, r.Secret, p.ID, n.cfg.Fleet.Now())
	if err != nil {
		n.refused(r.Ticket, p.ID, err)
		return JoinAck{}, n.ticketError(err)
	}
	if chain == nil {
		if inv.Confirm && !inv.Confirmed {
			n.strangers.extend(p.Conn, joinWithin)
			return JoinAck{Waiting: true}, n.ticketError(n.cfg.Tickets.Ask(r.Ticket, p.ID))
		}
		if chain, err = n.letIn(inv, p.ID, r.Accept); err != nil {
			return JoinAck{}, n.ticketError(err)
		}
	}
	n.joined(p, r, chain)
	if m, ok := n.cfg.Fleet.Known(p.ID); ok && m.Err == nil {
		chain = m.Chain // with that of its sponsor
	}
	return JoinAck{
		Redeemer: n.cfg.Fleet.Chain().JSON(), Grant: chain.JSON(), Fleet: n.cfg.Fleet.Name(),
		Statements: n.common(), Members: n.someMembers(p.ID),
	}, nil
}

// letIn signs the joiner's grant. The ticket is used from then on, whether the
// answer arrives or not.
func (n *Node) letIn(inv *trust.Invitation, p peer.ID, accept []byte) (trust.Chain, error) {
	f := n.cfg.Fleet
	if f.Revoked(p) {
		return nil, &trust.Blocked{Err: fmt.Errorf("%w: %s", trust.ErrRevokedPeer, p), Need: trust.NeedLift, Peer: p}
	}
	chain := inv.Chain
	if inv.Sender != "" {
		// It may have lost its rights since it made the ticket.
		if err := n.maySend(inv.Sender, inv); err != nil {
			return nil, err
		}
	}
	if chain == nil {
		s, err := f.Signer(n.Peerstore().PrivKey(n.ID()))
		if err != nil {
			return nil, err
		}
		g := trust.Grant{
			Subject: p, Role: inv.Role, Name: inv.Name, Verbs: inv.Verbs, On: inv.On, Labels: inv.Labels,
			Line: trust.TicketLine(f.ID(), n.ID(), p, inv.ID), Accept: accept, Sponsor: inv.Sender, N: f.NextNumber(p),
		}
		if inv.LifetimeMs > 0 {
			g.Expires, g.NoRenew = f.Now().UnixMilli()+inv.LifetimeMs, true
		}
		if chain, err = s.Issue(g, f.Now()); err != nil {
			return nil, err
		}
	}
	return n.cfg.Tickets.Use(inv.ID, p, chain, f.Now())
}

// common returns as many of the statements that all keep as a joiner is given at once.
func (n *Node) common() [][]byte {
	all := fitting(n.cfg.Fleet.Common())
	return all[:min(len(all), maxCommon)]
}

// joined remembers the new member, and where it will be.
func (n *Node) joined(p streams.Peer, r JoinRequest, chain trust.Chain) {
	grant, err := n.cfg.Fleet.Admit(p.ID, chain)
	if err != nil {
		n.log.Warn("a new member is not to be remembered", "peer", p.ID, "err", err)
		return
	}
	n.strangers.promote(p.ID)
	n.log.Info("a machine joined the fleet", "name", grant.Name, "peer", p.ID, "role", grant.Role)
	addrs := joinAddrs(p.Conn.RemoteMultiaddr(), r.Addrs)
	_, err = n.Book().Update(p.ID, func(m *host.Member) {
		m.Name, m.Labels, m.Role, m.Hint = grant.Name, grant.Labels, string(grant.Role), false
		if len(addrs) > 0 {
			m.Addrs = addrs
		}
		m.LastSeen = time.Now().UnixMilli()
	})
	if err != nil {
		n.log.Warn("a new member could not be saved", "peer", p.ID, "err", err)
	}
	if n.cfg.Joined != nil {
		n.cfg.Joined(p.ID, *grant)
	}
	n.Keep(peer.AddrInfo{ID: p.ID})
}

// joinAddrs are where a joiner will listen: first the address that we see, with
// the ports that it tells, then what it tells.
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

func (n *Node) refused(ticket string, p peer.ID, err error) {
	if errors.Is(err, trust.ErrTicketUnknown) {
		return // a stranger without the secret is no event of this ticket
	}
	n.log.Warn("a ticket was refused", "ticket", ticket, "peer", p, "why", err)
	if err := n.cfg.Tickets.Refused(ticket, p); err != nil {
		n.log.Warn("a refusal could not be noted", "ticket", ticket, "err", err)
	}
}

// ticketError puts what a ticket book says in the terms of streams.
func (n *Node) ticketError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, trust.ErrTicketUnknown):
		return streams.Errorf(streams.CodeNotFound, "the ticket is not known here, or it was altered%s", n.hint(err))
	case errors.Is(err, trust.ErrTicketUsed):
		return streams.Errorf(streams.CodeConflict, "the ticket was used by another machine already%s", n.hint(err))
	case errors.Is(err, trust.ErrTicketExpired):
		return streams.Errorf(streams.CodeForbidden, "the ticket has expired%s", n.hint(err))
	case errors.Is(err, trust.ErrTicketPeer):
		return streams.Errorf(streams.CodeForbidden, "the ticket is for another machine")
	case errors.Is(err, trust.ErrTicketDenied):
		return streams.Errorf(streams.CodeForbidden, "the inviter did not confirm this machine")
	case errors.Is(err, trust.ErrIssuer), errors.Is(err, trust.ErrOwnGrant), errors.Is(err, trust.ErrRevokedPeer):
		return streams.Errorf(streams.CodeForbidden, "the inviter may not let this machine in: %v%s", err, n.hint(err))
	}
	return err
}

// maySend tells why a member cannot have us redeem a ticket. One whom the owner
// of this machine allows without a grant has the right to admit, and no more.
func (n *Node) maySend(p peer.ID, inv *trust.Invitation) error {
	if err := n.cfg.Fleet.May(p, trust.VerbAdmit); err != nil {
		return fmt.Errorf("%w: the one who made the ticket: %w", trust.ErrIssuer, err)
	}
	sender, known := n.cfg.Fleet.Known(p)
	if !known || sender.Err != nil {
		sender.Grant = &trust.Grant{Name: p.String()}
	}
	if err := sender.Grant.MayInvite(inv); err != nil {
		return err
	}
	if sender.Grant.Sponsor != "" && inv.Commands() {
		return fmt.Errorf("%w: %s came in by a ticket of another member, so it cannot bring in who may do anything", trust.ErrIssuer, sender.Grant.Name)
	}
	return nil
}

// takeTicket keeps a ticket that another member made for us to redeem. It can
// give no more than our own grant lets us, and no more than its maker's.
func (n *Node) takeTicket(_ context.Context, p streams.Peer, r TicketRequest) (TicketAck, error) {
	own := n.cfg.Fleet.Self()
	if n.cfg.Tickets == nil || own.Grant.MayIssue == nil {
		return TicketAck{}, streams.Errorf(streams.CodeRefused, "this machine has no grant to let others in%s",
			n.hint(&trust.Blocked{Need: trust.NeedIssuer, Peer: own.Grant.Subject, Name: own.Grant.Name}))
	}
	var inv trust.Invitation
	if err := json.Unmarshal(r.Invitation, &inv); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: %v", err)
	}
	if time.Until(inv.Expires) > maxTicketLife {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: it lasts longer than %v", maxTicketLife)
	}
	if err := n.maySend(p.ID, &inv); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeForbidden, "invitation: %v", err)
	}
	if inv.Peer == "" && inv.NeedsPerson() {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: it lets a %s do more than read, and nobody can confirm it here: name its peer ID%s",
			inv.Role, n.hint(&trust.Blocked{Need: trust.NeedPeerID}))
	}
	inv.By, inv.Sender, inv.Chain = p.ID.String(), p.ID, nil
	if err := n.cfg.Tickets.Add(inv, r.Secret); err != nil {
		return TicketAck{}, streams.Errorf(streams.CodeInvalid, "invitation: %v", err)
	}
	var ack TicketAck
	for _, a := range n.Addrs()[:min(len(n.Addrs()), maxAddrs)] {
		ack.Addrs = append(ack.Addrs, a.String())
	}
	return ack, nil
}

// someMembers are up to 32 members for one who joins: those that help to find the
// others come first.
func (n *Node) someMembers(but peer.ID) []MemberAddr {
	all := slices.DeleteFunc(n.memberAddrs(), func(m MemberAddr) bool { return m.Peer == but || len(m.Record) == 0 && m.Peer != n.ID() })
	rank := func(m MemberAddr) int {
		known, _ := n.cfg.Fleet.Known(m.Peer)
		switch {
		case m.Peer == n.ID():
			return 0
		case known.Grant.Role == trust.RoleRelay:
			return 1
		case known.Grant.MayIssue != nil || known.Grant.Role == trust.RoleController:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b MemberAddr) int { return rank(a) - rank(b) })
	return all[:min(len(all), maxAnswered)]
}

// memberAddrs are all members, in the order of their peer IDs, and where they say
// they are as far as that is known; this node is one of them.
func (n *Node) memberAddrs() (out []MemberAddr) {
	out = append(out, MemberAddr{n.ID(), n.SignedRecord(n.ID()), n.cfg.Fleet.Chain().JSON()})
	for _, m := range n.cfg.Fleet.Members() {
		waits := errors.Is(m.Err, trust.ErrSignerEnded) // to be signed anew, by one who finds it
		if m.Err != nil && !waits || m.Peer == n.ID() {
			continue
		}
		out = append(out, MemberAddr{m.Peer, n.SignedRecord(m.Peer), m.Chain.JSON()})
	}
	slices.SortFunc(out, func(a, b MemberAddr) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return out
}

func (n *Node) answerAddr(_ context.Context, p streams.Peer, r AddrRequest) (Addr, error) {
	if !n.cfg.Judge.Member(p.ID) {
		return Addr{}, streams.Errorf(streams.CodeUnauthenticated, "only members are told where members are")
	}
	all := slices.DeleteFunc(n.memberAddrs(), func(m MemberAddr) bool {
		return m.Peer <= r.After || m.Peer == p.ID || len(r.Roles) > 0 && !slices.Contains(r.Roles, n.roleOf(m.Peer))
	})
	return Addr{all[:min(len(all), maxAnswered)], len(all) > maxAnswered}, nil
}

// roleOf is the role of a member, or of this node.
func (n *Node) roleOf(p peer.ID) trust.Role {
	if p == n.ID() {
		return n.cfg.Fleet.Self().Grant.Role
	}
	m, ok := n.cfg.Fleet.Known(p)
	if !ok {
		return ""
	}
	return m.Grant.Role
}

// SaveMembers saves members that somebody has told of, who may have no right at
// all: who is none by its grant is left out, and where it is it has signed itself.
// It returns how many were good.
func SaveMembers(book *host.Book, f *trust.Fleet, members []MemberAddr) (good int, err error) {
	self := f.Self().Grant.Subject
	for _, m := range members {
		c, bad := trust.ParseChain(m.Grant)
		if bad != nil || m.Peer == self {
			continue
		}
		g, bad := f.Admit(m.Peer, c)
		if errors.Is(bad, trust.ErrSignerEnded) { // it waits to be signed anew: so it has to be found
			known, _ := f.Known(m.Peer)
			g, bad = known.Grant, nil
		}
		if bad != nil {
			continue
		}
		_, failed := book.Update(m.Peer, func(e *host.Member) {
			ApplyGrant(e, g)
			bad = e.Hear(m.Record)
		})
		err = errors.Join(err, failed)
		if bad == nil {
			good++
		}
	}
	return good, err
}

// ApplyGrant writes what the fleet says of a member into its entry of the address
// book.
func ApplyGrant(m *host.Member, g *trust.Grant) {
	m.Name, m.Labels, m.Role, m.Hint = g.Name, g.Labels, string(g.Role), false
}
