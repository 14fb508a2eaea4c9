package streams

import "testing"

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
