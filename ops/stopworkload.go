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

// StopWorkload stops a workload. When it returns without error, nothing of the workload runs.
func (s *Service) StopWorkload(ctx context.Context, req NameRequest) (WorkloadAck, error) {
	w, err := s.find(req.Name)
	if err != nil {
		return WorkloadAck{}, err
	}
	if w.kept().miner() {
		return WorkloadAck{}, streams.Errorf(streams.CodeConflict, "%s is a miner: stop_miner stops it", w.name)
	}
	if err := w.stop(ctx); err != nil {
		return WorkloadAck{}, err
	}
	return w.workloadAck(), nil
}
