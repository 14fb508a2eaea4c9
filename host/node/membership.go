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

// JoinFamily lets machines into a fleet and carries its signed papers. All but
// PutTicket are open to everyone: tickets, grants and records prove themselves.
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
	// PutGrant hands a member its newer grant, or that of another to keep.
	PutGrant = streams.Call[GrantRequest, GrantAck]{Family: JoinFamily, Request: "put_grant", Reply: "grant_ack", Verb: streams.VerbPublic}
	// GetRecords asks for signed records that are newer than our own.
	GetRecords = streams.Call[RecordsRequest, Records]{Family: JoinFamily, Request: "get_records", Reply: "records", Verb: streams.VerbPublic}
	// PutRecords hands over signed records.
	PutRecords = streams.Call[Records, RecordsAck]{Family: JoinFamily, Request: "put_records", Reply: "records_ack", Verb: streams.VerbPublic}
)

// PeersFamily lets members tell each other where members are.
var PeersFamily = streams.Family{Name: "peers", Versions: []string{"1.0.0"}}

// GetAddr asks a member for the members it knows, and a seed of an open network for peers. In a fleet only members are answered.
var GetAddr = streams.Call[AddrRequest, Addr]{Family: PeersFamily, Request: "get_addr", Reply: "addr", Verb: streams.VerbPublic}

// Bounds of the membership messages.
const (
	maxTicketID  = 64
	maxSecret    = 64
	maxAddrs     = 16
	maxAddrText  = 256
	maxAnswered  = 32 // members in one answer
	maxRecords   = 64
	recordsBytes = 640 << 10 // of records in one message, before base64
	maxTicket    = 2 << 10
	maxRoles     = 8
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
}

// Validate checks the bounds.
func (r JoinRequest) Validate() error {
	if len(r.Ticket) == 0 || len(r.Ticket) > maxTicketID || len(r.Secret) > maxSecret {
		return fmt.Errorf("ticket and secret: want 1 to %d and at most %d bytes", maxTicketID, maxSecret)
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
	Fleet   string       `json:"fleet,omitzero"`
	Records [][]byte     `json:"records,omitzero"`
	Members []MemberAddr `json:"members,omitzero"`
}

// Validate checks the bounds.
func (a JoinAck) Validate() error {
	if len(a.Records) > maxRecords {
		return fmt.Errorf("records: want %d at most", maxRecords)
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
// trust.Invitation. Hash is the SHA-256 of the secret.
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

// GrantRequest is a new chain: the receiver's own, or one to keep for a member
// that is seldom there.
type GrantRequest struct {
	// Peer is whose it is; empty means the receiver's.
	Peer  peer.ID        `json:"peer,omitzero"`
	Grant jsontext.Value `json:"grant"`
}

// Validate checks the bounds.
func (r GrantRequest) Validate() error {
	if len(r.Grant) > streams.MaxCredential {
		return fmt.Errorf("grant: want %d bytes at most", streams.MaxCredential)
	}
	return nil
}

// GrantAck tells whether the grant was new.
type GrantAck struct {
	New bool `json:"new"`
}

// RecordsRequest holds the digests of the records that the asker has.
type RecordsRequest struct {
	Have jsontext.Value `json:"have"`
}

// Validate checks the bounds.
func (r RecordsRequest) Validate() error {
	if len(r.Have) > streams.MaxCredential {
		return fmt.Errorf("have: want %d bytes at most", streams.MaxCredential)
	}
	return nil
}

// Records are signed records.
type Records struct {
	Records [][]byte `json:"records"`
	// More says that there are others: ask again.
	More bool `json:"more,omitzero"`
}

// Validate checks the bounds.
func (r Records) Validate() error {
	if len(r.Records) > maxRecords {
		return fmt.Errorf("records: want %d at most", maxRecords)
	}
	return nil
}

// RecordsAck says how many records were new.
type RecordsAck struct {
	New bool `json:"new"`
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
