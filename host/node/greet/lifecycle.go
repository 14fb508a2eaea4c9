// Package greet has the lifecycle family, by which two nodes greet, ping and part: see section 8 of
// docs/protocol.md.
package greet

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/mod/semver"

	"github.com/seed-b490fa12/swarm/streams"
)

// Family greets, pings and says goodbye.
var Family = streams.Family{Name: "lifecycle", Versions: []string{"1.0.0"}, Greeting: "handshake"}

// The types of the family. They are open to everyone.
var (
	// Handshake is the first request of a dialler on a new connection. Each side learns the other's
	// clock from its timestamp.
	Handshake = streams.Call[Hello, Hello]{
		Family: Family, Request: "handshake", Reply: "handshake_ack", Verb: streams.VerbPublic,
	}
	// Ping measures the round trip and the clocks.
	Ping = streams.Call[PingRequest, Pong]{Family: Family, Request: "ping", Reply: "pong", Verb: streams.VerbPublic}
	// TellTwins tells a member that two machines run with one identity: its own, or the sender's.
	TellTwins = streams.Call[TwinsNews, TwinsAck]{
		Family: Family, Request: "twins", Reply: "twins_ack", Verb: streams.VerbPublic,
	}
	// Disconnect is said before a connection is closed on purpose.
	Disconnect = streams.Notice[Goodbye]{Family: Family, Type: "disconnect", Verb: streams.VerbPublic}
)

// ProtocolVersion is the version of swarm's wire protocol as a whole. Nodes with another major
// version cannot speak with this one.
const ProtocolVersion = "1.0.0"

// Bounds of what a peer says of itself.
const (
	MaxNameLength = 64
	MaxFamilies   = 64
	MaxLabels     = 64
	MaxReason     = 1024 // bytes of a reason in words
	// MaxCredential is how many bytes of JSON a grant may have.
	MaxCredential = 16 << 10
	// MaxBoot is the longest boot in bytes; MaxTwins is how many boots, and addresses, one report
	// names.
	MaxBoot     = 64
	MaxTwins    = 2
	maxTwinAddr = 256
)

// Hello is the payload of a handshake and of its answer.
type Hello struct {
	Version  string               `json:"version"` // of the protocol, see ProtocolVersion
	Families []streams.FamilyInfo `json:"families"`
	Role     string               `json:"role,omitzero"` // "worker", "controller", …
	Name     string               `json:"name,omitzero"` // what the node calls itself: display only
	Labels   map[string]string    `json:"labels,omitzero"`
	// Grant shows that the sender is a member of a fleet. See package host/node.
	Grant jsontext.Value `json:"grant,omitzero"`
	// Statements, in an answer to a member, is a digest of the fleet's signed statements that the
	// sender holds for the dialler. Equal digests mean equal statements.
	Statements string `json:"statements,omitzero"`
	// Revocation, in a refusal, is the signed statement that revoked the dialler.
	Revocation []byte `json:"revocation,omitzero"`
	// Audit is the end of the sender's audit log, told to members only.
	Audit *AuditHead `json:"audit,omitzero"`
	// Boot names this run of the sender's program: its role and a random text. Programs that run
	// once for an identity send it, so that a second one is noticed; a process that shares its
	// identity with others sends none.
	Boot string `json:"boot,omitzero"`
	// Twins is set by a sender that knows that another machine runs with its identity; told to
	// members only.
	Twins *Twins `json:"twins,omitzero"`
	// Accepted is set in an answer; when it is false, Reason says why.
	Accepted *bool  `json:"accepted,omitzero"`
	Reason   string `json:"reason,omitzero"`
}

// AuditHead is the end of an audit log: how many entries there ever were, and the hash of the last
// one, in hex.
type AuditHead struct {
	Count uint64 `json:"count"`
	Hash  string `json:"hash"`
}

// Validate checks the bounds of what the peer says.
func (h Hello) Validate() error {
	switch {
	case len(h.Version) == 0 || len(h.Version) > MaxNameLength:
		return fmt.Errorf("version: want 1 to %d bytes", MaxNameLength)
	case len(h.Families) > MaxFamilies:
		return fmt.Errorf("families: want %d at most", MaxFamilies)
	case len(h.Labels) > MaxLabels:
		return fmt.Errorf("labels: want %d at most", MaxLabels)
	case len(h.Role) > MaxNameLength || len(h.Name) > MaxNameLength:
		return fmt.Errorf("role and name: want %d bytes at most", MaxNameLength)
	case len(h.Grant) > MaxCredential || len(h.Revocation) > MaxCredential || len(h.Statements) > MaxNameLength:
		return fmt.Errorf(
			"grant, revocation and statements: want %d and %d bytes at most", MaxCredential, MaxNameLength)
	case len(h.Reason) > MaxReason:
		return fmt.Errorf("reason: want %d bytes at most", MaxReason)
	case h.Audit != nil && len(h.Audit.Hash) > MaxNameLength:
		return fmt.Errorf("audit: want a hash of %d bytes at most", MaxNameLength)
	case len(h.Boot) > MaxBoot:
		return fmt.Errorf("boot: want %d bytes at most", MaxBoot)
	case h.Twins != nil && h.Twins.Validate() != nil:
		return h.Twins.Validate()
	}
	for _, f := range h.Families {
		if err := f.Validate(); err != nil {
			return fmt.Errorf("families: %w", err)
		}
	}
	for k, v := range h.Labels {
		if k == "" || len(k) > MaxNameLength || len(v) > MaxNameLength {
			return fmt.Errorf("labels: want keys and values of %d bytes at most", MaxNameLength)
		}
	}
	return nil
}

// Compatible reports whether this node and one with that protocol version understand each other:
// the major versions are the same.
func (h Hello) Compatible() bool {
	return semver.Major("v"+ProtocolVersion) == semver.Major("v"+h.Version)
}

// Twins are two machines that run with one identity.
type Twins struct {
	Boots []string `json:"boots"` // of the two runs
	// Addrs is where they were seen, as multiaddrs; display data.
	Addrs []string `json:"addrs,omitzero"`
}

// Validate checks the bounds.
func (t Twins) Validate() error {
	if len(t.Boots) != MaxTwins || len(t.Addrs) > MaxTwins {
		return fmt.Errorf("twins: want %d boots, and %d addrs at most", MaxTwins, MaxTwins)
	}
	for _, b := range t.Boots {
		if b == "" || len(b) > MaxBoot {
			return fmt.Errorf("twins: want boots of 1 to %d bytes", MaxBoot)
		}
	}
	for _, a := range t.Addrs {
		if len(a) > maxTwinAddr {
			return fmt.Errorf("twins: want %d bytes at most in an address", maxTwinAddr)
		}
	}
	if t.Boots[0] == t.Boots[1] {
		return fmt.Errorf("twins: want two boots that differ")
	}
	return nil
}

// TwinsNews is the payload of a twins message.
type TwinsNews struct {
	Peer peer.ID `json:"peer"` // whose identity it is
	Twins
}

// TwinsAck answers it.
type TwinsAck struct{}

// PingRequest is the payload of a ping.
type PingRequest struct {
	SentAt int64 `json:"sentAt"` // the sender's clock, Unix milliseconds
}

// Pong is the payload of the answer to a ping.
type Pong struct {
	SentAt     int64 `json:"sentAt"`     // as in the ping
	ReceivedAt int64 `json:"receivedAt"` // the answerer's clock, Unix milliseconds
}

// Answer returns the pong for p.
func (p PingRequest) Answer() Pong { return Pong{p.SentAt, time.Now().UnixMilli()} }
