package node

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

const askAgain = 500 * time.Millisecond // while a person has yet to confirm the joiner

// Joined is what a machine gets for its ticket.
type Joined struct {
	Membership trust.Membership
	Statements [][]byte
	Members    []MemberAddr // the redeemer among them
}

// JoinWith redeems a ticket. The secret leaves only after the other end has
// shown that it is the redeemer, by its key, and that the fleet lets it issue
// such grants. waiting, if it is not nil, is called once when a person has to
// confirm this machine; then JoinWith waits until ctx ends.
func (n *Node) JoinWith(ctx context.Context, t *ticket.Ticket, addrs []string, waiting func()) (*Joined, error) {
	if err := n.Connect(ctx, peer.AddrInfo{ID: t.Redeemer, Addrs: t.Addrs}); err != nil {
		return nil, fmt.Errorf("the inviter is not to be reached: %w", err)
	}
	ack, err := Join.Do(ctx, n.Client, t.Redeemer, JoinRequest{Ticket: t.ID})
	if err != nil {
		return nil, err
	}
	if err := checkRedeemer(t, ack); err != nil {
		return nil, err
	}
	asked, err := t.Fleet.Accept(trust.TicketLine(t.Fleet, t.Redeemer, n.ID(), t.ID), n.Peerstore().PrivKey(n.ID()))
	if err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		ack, err = Join.Do(ctx, n.Client, t.Redeemer, JoinRequest{Ticket: t.ID, Secret: t.Secret, Addrs: addrs, Accept: asked})
		if err != nil {
			return nil, err
		}
		if !ack.Waiting {
			return accept(n.ID(), t, ack)
		}
		if !told && waiting != nil {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the inviter has not confirmed this machine: %w", ctx.Err())
		case <-time.After(askAgain):
		}
	}
}

// checkRedeemer refuses to give the secret to one who could not let us in.
func checkRedeemer(t *ticket.Ticket, ack JoinAck) error {
	c, err := trust.ParseChain(ack.Redeemer)
	if err == nil {
		var cred *trust.Credential
		if cred, err = t.Fleet.Verify(c, t.Redeemer); err == nil {
			err = cred.MayLetIn(t.Role)
		}
	}
	if err != nil {
		return streams.Errorf(streams.CodeForbidden, "the one who answers has no right to let machines into the fleet %s, so the ticket stays secret: %w", t.Fleet.Short(), err)
	}
	return nil
}

// accept checks that what came is what the ticket had promised.
func accept(self peer.ID, t *ticket.Ticket, ack JoinAck) (*Joined, error) {
	c, err := trust.ParseChain(ack.Grant)
	if err != nil {
		return nil, err
	}
	cred, err := t.Fleet.Verify(c, self)
	if err != nil {
		return nil, err
	}
	if cred.Grant.Role != t.Role || cred.Grant.Name != t.Name {
		return nil, streams.Errorf(streams.CodeForbidden, "the ticket is for the %s %s, and the grant that came is for the %s %s", t.Role, t.Name, cred.Grant.Role, cred.Grant.Name)
	}
	return &Joined{trust.Membership{Fleet: t.Fleet, Name: ack.Fleet, Chain: c}, ack.Statements, ack.Members}, nil
}

// ServeOffers takes the first ticket that somebody brings, for a machine that
// waits for its inviter to call. Register it before Listen.
func (n *Node) ServeOffers(offers chan<- string) error {
	return Offer.Handle(n.Mux, func(_ context.Context, p streams.Peer, r OfferRequest) (OfferAck, error) {
		select {
		case offers <- r.Ticket:
			n.log.Info("an inviter has called", "peer", p.ID)
			return OfferAck{}, nil
		default:
			return OfferAck{}, streams.Errorf(streams.CodeTooMany, "another offer is being looked at")
		}
	})
}
