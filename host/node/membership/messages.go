// Package membership keeps the members of a fleet to the same signed statements: it compares them
// with each member that is met, passes on what is new, signs what is due, and parts with those that
// are revoked. See section 13 of docs/protocol.md.
package membership

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// Family carries the signed statements of a fleet, and lets machines into it: see package
// host/node/join. All types here are open to everyone: statements prove themselves.
var Family = streams.Family{Name: "join", Versions: []string{"1.0.0"}}

// The types of the family.
var (
	// Compare finds out in which statements two nodes differ.
	Compare = streams.Call[CompareRequest, Compared]{
		Family: Family, Request: "compare", Reply: "compared", Verb: streams.VerbPublic,
	}
	// GetStatements asks for signed statements by their IDs.
	GetStatements = streams.Call[StatementsRequest, Statements]{
		Family: Family, Request: "get_statements", Reply: "statements", Verb: streams.VerbPublic,
	}
	// PutStatements hands over signed statements. They are taken from anybody.
	PutStatements = streams.Call[Statements, StatementsAck]{
		Family: Family, Request: "put_statements", Reply: "statements_ack", Verb: streams.VerbPublic,
	}
)

// Bounds of the messages.
const (
	// maxStatements and statementsBytes bound one message: it fits into what a stranger may send.
	maxStatements   = 64
	statementsBytes = 40 << 10 // before base64
	maxCompared     = 1_000    // IDs in one answer
	maxSum          = 64       // bytes of one sum
)

// CompareRequest summarises the statements that the sender holds for the receiver.
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
		if len(s) > maxSum {
			return fmt.Errorf("sums: want %d bytes at most in each", maxSum)
		}
	}
	return nil
}

// Compared names the statements that the answering side holds in buckets that differ.
type Compared struct {
	IDs []trust.ID `json:"ids"`
	// Buckets are the first bytes of the IDs that were compared.
	Buckets []int `json:"buckets"`
	// More says that there are others: ask again, after the last one.
	More bool `json:"more,omitzero"`
	// Missing are statements that the answering side once had and has lost, and wants to be given whatever
	// was compared.
	Missing []trust.ID `json:"missing,omitzero"`
}

// Validate checks the bounds.
func (c Compared) Validate() error {
	if len(c.IDs) > maxCompared || len(c.Buckets) > trust.Buckets || len(c.Missing) > maxStatements {
		return fmt.Errorf("ids, buckets and missing: want %d, %d and %d at most", maxCompared, trust.Buckets, maxStatements)
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

// MaxContacts is how many contacts are in one answer.
const MaxContacts = 32

// Contact is a member and where it says it is.
type Contact struct {
	Peer peer.ID `json:"peer"`
	// Record is its signed peer record, a libp2p envelope; none where the member listens nowhere.
	Record []byte `json:"record,omitzero"`
	// Grant is its chain, which proves that it is a member; none in an open network.
	Grant jsontext.Value `json:"grant,omitzero"`
}

// ValidateContacts checks how many contacts there are, and that no record is longer than maxRecord
// bytes.
func ValidateContacts(contacts []Contact, maxRecord int) error {
	if len(contacts) > MaxContacts {
		return fmt.Errorf("members: want %d at most", MaxContacts)
	}
	for _, c := range contacts {
		if len(c.Record) > maxRecord {
			return fmt.Errorf("members: want %d bytes at most in a record", maxRecord)
		}
	}
	return nil
}
