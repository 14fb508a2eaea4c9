package ops

import (
	"context"

	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// StopWorkload stops a workload that is no miner, and all its processes. The same request again
// changes nothing.
var StopWorkload = streams.Call[NameRequest, WorkloadAck]{
	Family: Family(), Request: "stop_workload", Reply: "workload_ack", Verb: VerbWorkloadControl,
}

func stopWorkload(w Worker) Operation {
	return FromCall(StopWorkload, func(ctx context.Context, _ streams.Peer, req NameRequest) (WorkloadAck, error) {
		return w.StopWorkload(ctx, req)
	})
}

// NameRequest names a workload.
type NameRequest struct {
	Name string `json:"name"`
}

// Summary says what is asked.
func (r NameRequest) Summary() string { return "name=" + r.Name }

// Validate checks the name.
func (r NameRequest) Validate() error { return miner.ValidName(r.Name) }
