// Package join brings machines into a fleet by tickets: the side that redeems them, and the side
// that joins. See section 13 of docs/protocol.md.
package join

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

const askAgain = 500 * time.Millisecond // while a person has yet to confirm the joiner

// Joined is what a machine gets for its ticket.
type Joined struct {
	Membership trust.Membership
	Statements [][]byte
	Members    []membership.Contact // the redeemer among them
}

// Machine is the node of the machine that joins.
type Machine interface {
	ID() peer.ID
	Peerstore() peerstore.Peerstore
	Connect(context.Context, peer.AddrInfo) error
}

// With redeems a ticket at its redeemer, for the machine that client belongs to. The secret leaves
// only after the other end has shown that it is the redeemer, by its key, and that the fleet lets
// it issue such grants. listens is where the machine will listen. waiting, if it is not nil, is
// called once when a person has to confirm this machine; then With waits until ctx ends.
func With(
	ctx context.Context, n Machine, client *streams.Client, t *ticket.Ticket, listens []string, waiting func(),
) (*Joined, error) {
	if err := n.Connect(ctx, peer.AddrInfo{ID: t.Redeemer, Addrs: t.Addrs}); err != nil {
		return nil, fmt.Errorf("the inviter is not to be reached: %w", err)
	}
	ack, err := Join.Do(ctx, client, t.Redeemer, Request{Ticket: t.ID})
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
		ack, err = Join.Do(
			ctx, client, t.Redeemer, Request{Ticket: t.ID, Secret: t.Secret, Addrs: listens, Accept: asked})
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

// checkRedeemer returns an error if the peer could not admit us, and so must not get the secret.
func checkRedeemer(t *ticket.Ticket, ack Ack) error {
	c, err := trust.ParseChain(ack.Redeemer)
	if err == nil {
		var cred *trust.Credential
		if cred, err = t.Fleet.Verify(c, t.Redeemer); err == nil {
			err = cred.MayLetIn(t.Role)
		}
	}
	if err != nil {
		return streams.Errorf(streams.CodeForbidden,
			"the one who answers has no right to let machines into the fleet %s, so the ticket stays secret: %w",
			t.Fleet.Short(), err)
	}
	return nil
}

// accept checks that what came is what the ticket had promised.
func accept(self peer.ID, t *ticket.Ticket, ack Ack) (*Joined, error) {
	c, err := trust.ParseChain(ack.Grant)
	if err != nil {
		return nil, err
	}
	cred, err := t.Fleet.Verify(c, self)
	if err != nil {
		return nil, err
	}
	if cred.Grant.Role != t.Role || cred.Grant.Name != t.Name {
		return nil, streams.Errorf(streams.CodeForbidden,
			"the ticket is for the %s %s, and the grant that came is for the %s %s", t.Role, t.Name, cred.Grant.Role,
			cred.Grant.Name)
	}
	return &Joined{trust.Membership{Fleet: t.Fleet, Name: ack.Fleet, Chain: c}, ack.Statements, ack.Members}, nil
}

// ServeOffers takes the first ticket that a peer brings, for a machine that waits for its inviter
// to call. Register it before the machine listens.
func ServeOffers(m *streams.Mux, offers chan<- string, log *slog.Logger) error {
	return Offer.Handle(m, func(_ context.Context, p streams.Peer, r OfferRequest) (OfferAck, error) {
		select {
		case offers <- r.Ticket:
			log.Info("an inviter has called", "peer", p.ID)
			return OfferAck{}, nil
		default:
			return OfferAck{}, streams.Errorf(streams.CodeTooMany, "another offer is being looked at")
		}
	})
}
