package ops

import (
	"context"
	"errors"

	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// StopMiner stops a miner and all its processes. The same request again changes nothing.
var StopMiner = streams.Call[StopRequest, MinerAck]{
	Family: Family(), Request: "stop_miner", Reply: "miner_ack", Verb: VerbMinerControl,
}

func stopMiner(w Worker) Operation {
	return FromCall(StopMiner, func(ctx context.Context, _ streams.Peer, req StopRequest) (MinerAck, error) {
		return w.StopMiner(ctx, req)
	})
}

// StopRequest asks a workload to stop.
type StopRequest struct {
	Name string `json:"name,omitzero"`
	Only bool   `json:"only,omitzero"` // in place of a name: the one workload that runs
}

// Summary says what is asked.
func (r StopRequest) Summary() string {
	if r.Only {
		return "only=true"
	}
	return "name=" + r.Name
}

// Validate checks the name.
func (r StopRequest) Validate() error {
	if !r.Only {
		return miner.ValidName(r.Name)
	}
	if r.Name != "" {
		return errors.New("a name and only exclude each other")
	}
	return nil
}
