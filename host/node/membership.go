package node

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// JoinFamily lets machines into a fleet and carries its signed statements. All but PutTicket are
// open to everyone: tickets and statements prove themselves.
var JoinFamily = streams.Family{Name: "join", Versions: []string{"1.0.0"}}

// The types of the join family.
var (
	// Join redeems a ticket. It is asked twice: without the secret, so that the
	// redeemer shows its right, and then with it.
	Join = streams.Call[JoinRequest, JoinAck]{Family: JoinFamily, Request: "join", Reply: "join_ack", Verb: streams.VerbPublic}
	// Offer hands a ticket to a machine that waits for one.
	Offer = streams.Call[OfferRequest, OfferAck]{Family: JoinFamily, Request: "offer", Reply: "offer_ack", Verb: streams.VerbPublic}
	// PutTicket has another member redeem a ticket.
	PutTicket = streams.Call[TicketRequest, TicketAck]{Family: JoinFamily, Request: "put_ticket", Reply: "ticket_ack", Verb: "admit"}
	// Compare finds out in which statements two nodes differ.
	Compare = streams.Call[CompareRequest, Compared]{Family: JoinFamily, Request: "compare", Reply: "compared", Verb: streams.VerbPublic}
	// GetStatements asks for signed statements by their IDs.
	GetStatements = streams.Call[StatementsRequest, Statements]{Family: JoinFamily, Request: "get_statements", Reply: "statements", Verb: streams.VerbPublic}
	// PutStatements hands over signed statements. They are taken from anybody.
	PutStatements = streams.Call[Statements, StatementsAck]{Family: JoinFamily, Request: "put_statements", Reply: "statements_ack", Verb: streams.VerbPublic}
)

// PeersFamily lets members tell each other where members are.
var PeersFamily = streams.Family{Name: "peers", Versions: []string{"1.0.0"}}

// GetAddr asks a member for the members it knows, and a seed of an open network for peers. In a fleet only members are answered.
var GetAddr = streams.Call[AddrRequest, Addr]{Family: PeersFamily, Request: "get_addr", Reply: "addr", Verb: streams.VerbPublic}

// Bounds of the membership messages.
const (
	maxTicketID = 64
	maxSecret   = 64
	maxAddrs    = 16
	maxAddrText = 256
	maxAnswered = 32 // members in one answer
	maxAccept   = 1 << 10
	// maxStatements and statementsBytes bound one message: it fits into what a stranger may send.
	maxStatements   = 64
	statementsBytes = 40 << 10 // before base64
	maxCompared     = 1_000    // IDs in one answer
	// maxCommon is how many statements a joiner is given at once; it asks for the rest.
	maxCommon = 64
	maxTicket = 2 << 10
	maxRoles  = 8
	// maxTicketLife is how long a ticket may last that another made for us.
	maxTicketLife = 31 * 24 * time.Hour
)

// JoinRequest asks to be let in.
type JoinRequest struct {
	Ticket string `json:"ticket"` // its ID
	// Secret is empty in the first request.
	Secret []byte `json:"secret,omitzero"`
	// Addrs is where the machine will listen, without /p2p.
	Addrs []string `json:"addrs,omitzero"`
	// Accept is the joiner's signature over the line that the redeemer begins for it.
	Accept []byte `json:"accept,omitzero"`
}

// Validate checks the bounds.
func (r JoinRequest) Validate() error {
	if len(r.Ticket) == 0 || len(r.Ticket) > maxTicketID || len(r.Secret) > maxSecret || len(r.Accept) > maxAccept {
		return fmt.Errorf("ticket, secret and accept: want 1 to %d and at most %d and %d bytes", maxTicketID, maxSecret, maxAccept)
	}
	return validateAddrs(r.Addrs)
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

// JoinAck answers a Join.
type JoinAck struct {
	// Redeemer is the chain of the one who answers.
	Redeemer jsontext.Value `json:"redeemer,omitzero"`
	// Waiting says that a person has to confirm the joiner: ask again.
	Waiting bool `json:"waiting,omitzero"`
	// Grant is the joiner's own chain.
	Grant jsontext.Value `json:"grant,omitzero"`
	// Fleet is the fleet's name.
	Fleet string `json:"fleet,omitzero"`
	// Statements are some of those that every member keeps.
	Statements [][]byte     `json:"statements,omitzero"`
	Members    []MemberAddr `json:"members,omitzero"`
}

// Validate checks the bounds.
func (a JoinAck) Validate() error {
	if len(a.Statements) > maxCommon {
		return fmt.Errorf("statements: want %d at most", maxCommon)
	}
	return Addr{Members: a.Members}.Validate()
}

// MemberAddr is a member and where it says it is.
type MemberAddr struct {
	Peer peer.ID `json:"peer"`
	// Record is its signed peer record, a libp2p envelope; none where the member listens nowhere.
	Record []byte `json:"record,omitzero"`
	// Grant is its chain, which proves that it is a member; none in an open network.
	Grant jsontext.Value `json:"grant,omitzero"`
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

// TicketRequest is an invitation that another member shall redeem: see
// ticket.Invitation. Hash is the SHA-256 of the secret.
type TicketRequest struct {
	Invitation jsontext.Value `json:"invitation"`
	Secret     []byte         `json:"secret"`
}

// Validate checks the bounds.
func (r TicketRequest) Validate() error {
	if len(r.Invitation) > streams.MaxCredential || len(r.Secret) == 0 || len(r.Secret) > maxSecret {
		return fmt.Errorf("invitation: want %d bytes at most, and a secret of 1 to %d", streams.MaxCredential, maxSecret)
	}
	return nil
}

// TicketAck says where the ticket can be redeemed.
type TicketAck struct {
	Addrs []string `json:"addrs"`
}

// CompareRequest says, in short, what the asker has for the one who is asked.
type CompareRequest struct {
	// Sums are trust.Buckets short hashes: of the IDs that begin with each byte; "" for none.
	Sums []string `json:"sums"`
	// After is the last ID of the answer before; empty for a first time.
	After string `json:"after,omitzero"`
}

// Validate checks the bounds.
func (r CompareRequest) Validate() error {
	if len(r.Sums) != trust.Buckets {
		return fmt.Errorf("sums: want %d", trust.Buckets)
	}
	for _, s := range r.Sums {
		if len(s) > streams.MaxNameLength {
			return fmt.Errorf("sums: want %d bytes at most in each", streams.MaxNameLength)
		}
	}
	return nil
}

// Compared names what the one who was asked has, where it differs.
type Compared struct {
	IDs []trust.ID `json:"ids"`
	// Buckets are the first bytes of the IDs that were compared.
	Buckets []int `json:"buckets"`
	// More says that there are others: ask again, after the last one.
	More bool `json:"more,omitzero"`
}

// Validate checks the bounds.
func (c Compared) Validate() error {
	if len(c.IDs) > maxCompared || len(c.Buckets) > trust.Buckets {
		return fmt.Errorf("ids and buckets: want %d and %d at most", maxCompared, trust.Buckets)
	}
	return nil
}

// StatementsRequest asks for statements.
type StatementsRequest struct {
	IDs []trust.ID `json:"ids"`
}

// Validate checks the bounds.
func (r StatementsRequest) Validate() error {
	if len(r.IDs) > maxStatements {
		return fmt.Errorf("ids: want %d at most", maxStatements)
	}
	return nil
}

// Statements are signed statements; in an answer, as many of those asked for as fit.
type Statements struct {
	Statements [][]byte `json:"statements"`
}

// Validate checks the bounds.
func (s Statements) Validate() error {
	if len(s.Statements) > maxStatements {
		return fmt.Errorf("statements: want %d at most", maxStatements)
	}
	return nil
}

// StatementsAck answers PutStatements.
type StatementsAck struct {
	// New reports whether something came that others should hear of.
	New bool `json:"new"`
	// Missing are statements that the machine once had and has lost: it decides nothing until
	// somebody brings them.
	Missing []trust.ID `json:"missing,omitzero"`
}

// Validate checks the bounds.
func (a StatementsAck) Validate() error {
	if len(a.Missing) > maxCompared {
		return fmt.Errorf("missing: want %d at most", maxCompared)
	}
	return nil
}

// AddrRequest asks for members after one, in the order of their peer IDs.
type AddrRequest struct {
	After peer.ID `json:"after,omitzero"`
	// Roles are those asked for; none means all.
	Roles []trust.Role `json:"roles,omitzero"`
}

// Validate checks the bounds.
func (r AddrRequest) Validate() error {
	if len(r.Roles) > maxRoles {
		return fmt.Errorf("roles: want %d at most", maxRoles)
	}
	return nil
}

// Addr are some members.
type Addr struct {
	Members []MemberAddr `json:"members"`
	// More says that there are others: ask for those after the last one.
	More bool `json:"more,omitzero"`
}

// Validate checks the bounds.
func (a Addr) Validate() error {
	if len(a.Members) > maxAnswered {
		return fmt.Errorf("members: want %d at most", maxAnswered)
	}
	for _, m := range a.Members {
		if len(m.Record) > host.MaxRecord {
			return fmt.Errorf("members: want %d bytes at most in a record", host.MaxRecord)
		}
	}
	return nil
}
