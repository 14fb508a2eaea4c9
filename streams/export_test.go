package streams

import (
	"errors"
	"testing"
	"time"
)

// The verbs of the tests' families.
const (
	VerbStatsRead    Verb = "stats.read"
	VerbLogsRead     Verb = "logs.read"
	VerbMinerControl Verb = "miner.control"
	VerbDeploy       Verb = "deploy"
	VerbRun          Verb = "run"
)

// Vectors is vectors, for the tests outside the package.
func Vectors[C any](t *testing.T, name, about string, cases []C) []C {
	t.Helper()
	return vectors(t, name, about, cases)
}

// The fixed parts of the vectors, for the tests outside the package.
var (
	VectorPeer = vectorPeer
	VectorTime = vectorTime
	VectorID   = vectorID
)

// The tests' own family that greets, with as much of host/node/greet's as they need.
var (
	LifecycleFamily = Family{Name: "lifecycle", Versions: []string{"1.0.0"}, Greeting: "handshake"}
	Handshake       = Call[Hello, Hello]{LifecycleFamily, "handshake", "handshake_ack", VerbPublic}
	Ping            = Call[PingRequest, Pong]{LifecycleFamily, "ping", "pong", VerbPublic}
	Disconnect      = Notice[Goodbye]{LifecycleFamily, "disconnect", VerbPublic}
)

// Hello is the payload of a greeting.
type Hello struct {
	Version  string       `json:"version"`
	Families []FamilyInfo `json:"families"`
	Reason   string       `json:"reason,omitzero"`
}

// PingRequest and Pong are the payloads of a ping.
type (
	PingRequest struct {
		SentAt int64 `json:"sentAt"`
	}
	Pong struct {
		SentAt     int64 `json:"sentAt"`
		ReceivedAt int64 `json:"receivedAt"`
	}
)

// Answer returns the pong for p.
func (p PingRequest) Answer() Pong { return Pong{p.SentAt, time.Now().UnixMilli()} }

// Goodbye is the payload of a disconnect.
type Goodbye struct {
	Code int `json:"code"`
}

// Validate refuses what is no code.
func (g Goodbye) Validate() error {
	if g.Code < 1 || g.Code > 14 {
		return errors.New("no such code")
	}
	return nil
}
