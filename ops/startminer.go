package ops

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// StartMiner starts a miner. The same request again changes nothing.
var StartMiner = streams.Call[StartRequest, MinerAck]{
	Family: Family(), Request: "start_miner", Reply: "miner_ack", Verb: VerbMinerControl,
}

func startMiner(w Worker) Operation {
	return FromCall(StartMiner, func(ctx context.Context, _ streams.Peer, req StartRequest) (MinerAck, error) {
		return w.StartMiner(ctx, req)
	})
}

// StartRequest asks for a miner.
type StartRequest struct {
	Miner     string         `json:"miner"`              // kind of miner, such as "xmrig"
	Name      string         `json:"name,omitzero"`      // of the workload; the miner's when empty
	Algorithm string         `json:"algorithm,omitzero"` // the miner's default when empty
	Threads   int            `json:"threads,omitzero"`   // the miner's default when 0
	Pool      string         `json:"pool,omitzero"`      // stratum+tcp://host:port or stratum+ssl://host:port
	Wallet    string         `json:"wallet,omitzero"`
	Password  string         `json:"password,omitzero"`
	Profile   string         `json:"profile,omitzero"` // how much of the machine: eco, balanced or full; excludes threads
	Config    jsontext.Value `json:"config,omitzero"`  // further settings of this miner, an object
	// Replace lets the request take the place of the settings with which the workload runs. What it
	// leaves out stays, but the password for another pool. Without Miner and Name it is for the one
	// workload that runs.
	Replace bool `json:"replace,omitzero"`
}

// Summary says what is asked without the wallet, the password and the raw settings.
func (r StartRequest) Summary() string {
	var words []string
	for _, w := range []struct{ key, value string }{{"miner", r.Miner}, {"name", r.Name}, {"algorithm", r.Algorithm}, {"profile", r.Profile}, {"pool", r.Pool}} {
		if w.value != "" {
			words = append(words, w.key+"="+w.value)
		}
	}
	if r.Threads > 0 {
		words = append(words, fmt.Sprintf("threads=%d", r.Threads))
	}
	if r.Replace {
		words = append(words, "replace=true")
	}
	return strings.Join(words, " ")
}

// Validate checks everything that can be checked without knowing the machine.
func (r StartRequest) Validate() error {
	if r.Miner != "" || !r.Replace {
		if err := miner.ValidName(r.Miner); err != nil {
			return fmt.Errorf("miner: %w", err)
		}
	}
	if r.Name != "" {
		if err := miner.ValidName(r.Name); err != nil {
			return err
		}
	}
	if r.Algorithm != "" {
		if err := miner.ValidAlgorithm(r.Algorithm); err != nil {
			return err
		}
	}
	if r.Pool != "" {
		if _, err := miner.ParsePool(r.Pool); err != nil {
			return err
		}
	}
	if err := r.validateLoad(); err != nil {
		return err
	}
	if len(r.Config) > miner.MaxConfig || len(r.Config) > 0 && r.Config.Kind() != '{' {
		return fmt.Errorf("config: need an object of at most %d bytes", miner.MaxConfig)
	}
	return errors.Join(miner.ValidUser("wallet", r.Wallet), miner.ValidUser("password", r.Password))
}

func (r StartRequest) validateLoad() error {
	if r.Threads < 0 || r.Threads > miner.MaxThreads {
		return fmt.Errorf("threads %d: need 0 to %d", r.Threads, miner.MaxThreads)
	}
	if r.Profile == "" {
		return nil
	}
	if r.Threads > 0 {
		return errors.New("threads and profile exclude each other")
	}
	return miner.ValidName(r.Profile)
}

// MinerAck is the state of a workload after a command.
type MinerAck struct {
	Name      string      `json:"name"`
	Running   bool        `json:"running"` // a process runs, or will be started again after a pause
	State     miner.State `json:"state"`
	HashRate  *float64    `json:"hashRate"` // hashes per second, null while unknown
	Algorithm string      `json:"algorithm"`
}
