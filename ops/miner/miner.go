// Package miner says what the agent needs to know about one kind of mining software.
//
// An [Adapter] owns no process. It reports whether its miner is on this machine (Detect), writes
// the miner's own configuration and says how to run it (Render), and asks a running miner how it
// goes (Status):
//
//	spec := miner.Spec{Name: "xmrig", Pool: "stratum+tcp://pool.example:3333", Wallet: "…"}
//	run, err := adapter.Render(ctx, spec, dir) // a driver.Spec; secrets are in a file with mode 0600
//	w, err := process.Driver{}.Start(run)
//	…
//	status, err := adapter.Status(ctx, dir)
//
// Package refpow is our own small miner, package xmrig speaks to the well-known one. No adapter
// ever downloads a program: it runs what the owner of the machine has put there.
package miner

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// ErrNotInstalled says that the miner's program is not on this machine. The owner has to put it
// there.
var ErrNotInstalled = errors.New("miner is not installed")

// Refusal is the error of an adapter that can not do what a [Spec] asks. Its words are meant for
// the one who asked, and hold nothing about the machine.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// Refuse returns a [Refusal] with formatted words.
func Refuse(format string, args ...any) error {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}

// Spec is what to mine.
type Spec struct {
	Name      string         // the workload's name, shown to the pool as the rig's
	Algorithm string         // as the miner calls it, such as "rx/0"; empty for the adapter's default
	Threads   int            // 0 for the adapter's default
	Pool      string         // see ParsePool
	Wallet    string         // the pool's user name
	Password  string         // the pool's password
	Config    jsontext.Value // more settings of this miner, a JSON object; empty for none
}

// Info is what Detect found.
type Info struct {
	Path    string // the program
	Version string // empty when it could not be told
}

// State is what a workload does at the moment.
type State string

// The states of a miner. Adapters report those from Starting to Degraded; the others are for
// those who run the process.
const (
	Stopped  State = "stopped"  // not running, because it was asked to stop or never started
	Starting State = "starting" // runs, but has not said anything yet
	Warming  State = "warming"  // prepares to mine: no hash rate yet
	Mining   State = "mining"
	Paused   State = "paused"
	Degraded State = "degraded" // runs, but does not do its work: no pool, no answer
	Failed   State = "failed"   // ended by itself too often: it is tried again, but seldom
	Running  State = "running"  // a workload that is no miner runs
	Ended    State = "ended"    // one that is no miner ended by itself, and is not started again
)

// Runs reports whether a process runs, or will be started again after a pause.
func (s State) Runs() bool { return s != Stopped && s != Failed && s != Ended }

// Status is what a running miner says of itself. Nil numbers are unknown, which is not zero.
type Status struct {
	State          State
	Algorithm      string   // empty when unknown
	HashRate       *float64 // hashes per second
	SharesAccepted *int64   // since the miner started
	SharesRejected *int64   // since the miner started
	Pool           string   // host and port the miner uses; empty when unknown
	Reason         string   // why the state is no good one, in a few words; empty when it is or nobody knows
}

// NotInstalled is [ErrNotInstalled] with the place where the program was looked for.
type NotInstalled struct{ Looked string }

func (e *NotInstalled) Error() string { return ErrNotInstalled.Error() + ": " + e.Looked }

func (e *NotInstalled) Unwrap() error { return ErrNotInstalled }

// Adapter speaks to one kind of miner. All methods may be called concurrently for different
// directories.
type Adapter interface {
	// Name is what the miner is called in messages and in the owner's policy.
	Name() string
	// Detect looks for the miner's program; without it the error is ErrNotInstalled.
	Detect(ctx context.Context) (Info, error)
	// Render writes the miner's files into dir, which is there and private, and says how to run it.
	// It is called before every start. What the miner can not do is a *Refusal.
	Render(ctx context.Context, spec Spec, dir string) (driver.Spec, error)
	// Status asks the miner that runs in dir. With an error the status still holds the state, as
	// far as known.
	Status(ctx context.Context, dir string) (Status, error)
}
