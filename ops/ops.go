// Package ops lets a peer ask a worker for its state and its logs, and start and stop its miners.
//
// The messages are values that both sides share, each in the file of its name. A controller asks:
//
//	stats, err := ops.GetStats.Do(ctx, client, worker, ops.StatsRequest{})
//	ack, err := ops.StartMiner.Do(ctx, client, worker, ops.StartRequest{Miner: "refpow", Pool: "stratum+tcp://…"})
//	for logs, err := range ops.GetLogs.Do(ctx, client, worker, ops.LogsRequest{Name: "refpow", Follow: true}) { … }
//
// A worker offers the [Worker] interface; [Service] is the one that really runs miners:
//
//	s, err := ops.New(ops.Config{Dir: dir, Adapters: adapters, Policy: owner.Policy})
//	err = ops.Of(s).Register(mux)
//	err = s.Run(ctx) // blocks; at its end no workload is left
//
// Who may call is for the mux to say. What may run at all is for the owner of the machine: a miner
// that the [Policy] does not enable is refused to everyone, and the default enables none.
//
// Workloads run as processes with the rights of the agent, so the agent should not be root.
package ops

import (
	"context"

	"github.com/seed-b490fa12/swarm/streams"
)

// Family returns the family of stats and miner control.
func Family() streams.Family { return streams.Family{Name: "ops", Versions: []string{"1.0.0"}} }

// LogsFamily returns the family of logs.
func LogsFamily() streams.Family { return streams.Family{Name: "logs", Versions: []string{"1.0.0"}} }

// The rights that the message types need.
const (
	VerbStatsRead streams.Verb = "stats.read"
	VerbLogsRead  streams.Verb = "logs.read"
	// VerbAgentLogs is for the agent's own log, which names peers and addresses: it is not among those
	// that only read, and has to be given by itself.
	VerbAgentLogs    streams.Verb = "agent.logs"
	VerbMinerControl streams.Verb = "miner.control"
	// VerbWorkloadControl is for workloads that are no miners: command lines with the rights of the
	// worker's user.
	VerbWorkloadControl streams.Verb = "workload.control"
)

// Worker is what a machine must offer. The methods are called concurrently. An error for the
// caller's eyes is a *streams.Error.
type Worker interface {
	Stats(ctx context.Context) (Stats, error)
	StartMiner(ctx context.Context, req StartRequest) (MinerAck, error)
	StopMiner(ctx context.Context, req StopRequest) (MinerAck, error)
	StartWorkload(ctx context.Context, req WorkloadRequest) (WorkloadAck, error)
	StopWorkload(ctx context.Context, req NameRequest) (WorkloadAck, error)
	// Logs sends what there is and returns the last item.
	Logs(ctx context.Context, req LogsRequest, send func(Logs) error) (Logs, error)
}

// Of returns the operations of this package, which w serves. w may be nil for a program that only
// asks.
func Of(w Worker) Operations {
	return Operations{
		getStats(w), startMiner(w), stopMiner(w), getLogs(w), startWorkload(w), stopWorkload(w), listWorkloads(w),
	}
}
