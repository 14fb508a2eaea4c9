package ops

import (
	"context"

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
	Name string `json:"name"`
}

// Summary says what is asked.
func (r StopRequest) Summary() string { return "name=" + r.Name }

// Validate checks the name.
func (r StopRequest) Validate() error { return miner.ValidName(r.Name) }
