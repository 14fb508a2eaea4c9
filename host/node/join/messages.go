package join

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// The types with which machines come into a fleet; they belong to the family of its statements. All
// but PutTicket are open to everyone: tickets prove themselves.
var (
	// Join redeems a ticket. It is asked twice: without the secret, so that the redeemer shows its
	// right, and then with it.
	Join = streams.Call[Request, Ack]{
		Family: membership.Family, Request: "join", Reply: "join_ack", Verb: streams.VerbPublic,
	}
	// Offer hands a ticket to a machine that waits for one.
	Offer = streams.Call[OfferRequest, OfferAck]{
		Family: membership.Family, Request: "offer", Reply: "offer_ack", Verb: streams.VerbPublic,
	}
	// PutTicket lets another member redeem a ticket.
	PutTicket = streams.Call[TicketRequest, TicketAck]{
		Family: membership.Family, Request: "put_ticket", Reply: "ticket_ack", Verb: trust.VerbAdmit,
	}
)

// Bounds of the messages.
const (
	maxTicketID   = 64
	maxSecret     = 64
	maxAddrs      = 16
	maxAddrText   = 256
	maxAccept     = 1 << 10
	maxInvitation = 16 << 10
	// maxCommon is how many statements a joiner is given at once; it asks for the rest.
	maxCommon = 64
	maxTicket = 2 << 10
	// maxTicketLife is how long a ticket may last that another made for us.
	maxTicketLife = 31 * 24 * time.Hour
)

// Request asks to be let in.
type Request struct {
	Ticket string `json:"ticket"` // its ID
	// Secret is empty in the first request.
	Secret []byte `json:"secret,omitzero"`
	// Addrs is where the machine will listen, without /p2p.
	Addrs []string `json:"addrs,omitzero"`
	// Accept is the joiner's signature over the line that the redeemer begins for it.
	Accept []byte `json:"accept,omitzero"`
}

// Validate checks the bounds.
func (r Request) Validate() error {
	if len(r.Ticket) == 0 || len(r.Ticket) > maxTicketID || len(r.Secret) > maxSecret || len(r.Accept) > maxAccept {
		return fmt.Errorf(
			"ticket, secret and accept: want 1 to %d and at most %d and %d bytes", maxTicketID, maxSecret, maxAccept)
	}
	return validateAddrs(r.Addrs)
}

// Ack answers a Join.
type Ack struct {
	// Redeemer is the redeemer's own chain.
	Redeemer jsontext.Value `json:"redeemer,omitzero"`
	// Waiting says that a person has to confirm the joiner: ask again.
	Waiting bool `json:"waiting,omitzero"`
	// Grant is the joiner's own chain.
	Grant jsontext.Value `json:"grant,omitzero"`
	// Fleet is the fleet's name.
	Fleet string `json:"fleet,omitzero"`
	// Statements are some of those that every member keeps.
	Statements [][]byte             `json:"statements,omitzero"`
	Members    []membership.Contact `json:"members,omitzero"`
}

// Validate checks the bounds.
func (a Ack) Validate() error {
	if len(a.Statements) > maxCommon {
		return fmt.Errorf("statements: want %d at most", maxCommon)
	}
	return membership.ValidateContacts(a.Members, book.MaxRecord)
}

func validateAddrs(addrs []string) error {
	if len(addrs) > maxAddrs {
		return fmt.Errorf("addrs: want %d at most", maxAddrs)
	}
	for _, a := range addrs {
		if len(a) > maxAddrText {
			return fmt.Errorf("addrs: want %d bytes at most in each", maxAddrText)
		}
	}
	return nil
}

// OfferRequest hands over a ticket in its text form.
type OfferRequest struct {
	Ticket string `json:"ticket"`
}

// Validate checks the bounds.
func (r OfferRequest) Validate() error {
	if len(r.Ticket) > maxTicket {
		return fmt.Errorf("ticket: want %d bytes at most", maxTicket)
	}
	return nil
}

// OfferAck says that the offer will be looked at.
type OfferAck struct{}

// TicketRequest is an invitation that another member shall redeem, see ticket.Invitation, and the
// secret of its ticket.
type TicketRequest struct {
	Invitation jsontext.Value `json:"invitation"`
	Secret     []byte         `json:"secret"`
}

// Validate checks the bounds.
func (r TicketRequest) Validate() error {
	if len(r.Invitation) > maxInvitation || len(r.Secret) == 0 || len(r.Secret) > maxSecret {
		return fmt.Errorf("invitation: want %d bytes at most, and a secret of 1 to %d", maxInvitation, maxSecret)
	}
	return nil
}

// TicketAck says where the ticket can be redeemed.
type TicketAck struct {
	Addrs []string `json:"addrs"`
}
