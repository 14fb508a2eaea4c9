package ops

import (
	"context"

	"github.com/seed-b490fa12/swarm/streams"
)

// ListWorkloads asks for the workloads of a machine, the miners among them.
var ListWorkloads = streams.Call[WorkloadsRequest, Workloads]{
	Family: Family(), Request: "list_workloads", Reply: "workloads", Verb: VerbStatsRead,
}

func listWorkloads(w Worker) Operation {
	return FromCall(ListWorkloads, func(ctx context.Context, _ streams.Peer, _ WorkloadsRequest) (Workloads, error) {
		st, err := w.Stats(ctx)
		return Workloads{Workloads: st.Workloads}, err
	})
}

// WorkloadsRequest asks for [Workloads]. It is an empty object.
type WorkloadsRequest struct{}

// Workloads are the workloads that a machine knows, those that have ended included, by name.
type Workloads struct {
	Workloads []Workload `json:"workloads"`
}
