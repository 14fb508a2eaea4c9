package forward

import (
	"github.com/seed-b490fa12/swarm/ops/forward/target"
	"github.com/seed-b490fa12/swarm/streams"
)

// VerbForward is the right to connect to what the owners of machines have listed.
const VerbForward streams.Verb = "forward"

// Family returns the family of forwarded connections: their streams count apart from all others.
func Family() streams.Family { return streams.Family{Name: "forward", Versions: []string{"1.0.0"}} }

var (
	// Open connects to a target on the machine. Then the stream is that connection.
	Open = streams.DuplexFor[Request]{Family: Family(), Request: "forward", Reply: "forwarded", Verb: VerbForward}
	// Check asks whether a target may be connected to, and connects to nothing.
	Check = streams.Call[Request, Allowed]{
		Family: Family(), Request: "forward_check", Reply: "forward_allowed", Verb: VerbForward,
	}
)

// Often reports whether requests of a type come often: a page is many connections.
func Often(t streams.Type) bool { return t == Open.Request || t == Check.Request }

// Request asks for a connection.
type Request struct {
	// Target is what the machine connects to, as package target wants it.
	Target string `json:"target"`
}

// Validate checks the target's spelling.
func (r Request) Validate() error { return target.Check(r.Target) }

// Summary is what is recorded of the request.
func (r Request) Summary() string { return "target=" + r.Target }

// Allowed is the answer to a target that may be connected to.
type Allowed struct{}
