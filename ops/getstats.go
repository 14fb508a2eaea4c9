package ops

import (
	"context"

	"github.com/seed-b490fa12/swarm/ops/hardware"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// GetStats asks for the state of the machine and its workloads.
var GetStats = streams.Call[StatsRequest, Stats]{
	Family: Family(), Request: "get_stats", Reply: "stats", Verb: VerbStatsRead,
}

func getStats(w Worker) Operation {
	return FromCall(GetStats, func(ctx context.Context, _ streams.Peer, _ StatsRequest) (Stats, error) {
		return w.Stats(ctx)
	})
}

// StatsRequest asks for [Stats]. It is an empty object.
type StatsRequest struct{}

// Stats is the state of a worker at one moment. Nil numbers are unknown, which is not zero.
type Stats struct {
	Node          string     `json:"node"` // peer ID
	Name          string     `json:"name"`
	UptimeSeconds float64    `json:"uptimeSeconds"` // of the agent
	Host          Host       `json:"host"`
	Workloads     []Workload `json:"workloads"` // by name
	Seq           uint64     `json:"seq"`       // grows with each Stats of a run of the agent
	Boot          int64      `json:"boot"`      // names the run of the agent; grows from one to the next
}

// Host is the state of the machine. Sizes are in bytes.
type Host struct {
	CPUPercent  *float64 `json:"cpuPercent"` // of all processors together, 0 to 100
	Load1       *float64 `json:"load1"`      // load average over a minute
	MemTotal    *uint64  `json:"memTotal"`
	MemUsed     *uint64  `json:"memUsed"`
	DiskTotal   *uint64  `json:"diskTotal"` // of the file system that holds the agent's state
	DiskUsed    *uint64  `json:"diskUsed"`
	TempCelsius *float64 `json:"tempCelsius,omitzero"` // the hottest processor sensor; left out when there is none
	// Devices are graphics cards, processor packages and disks that tell how they are.
	Devices []hardware.Device `json:"devices,omitzero"`
}

// Workload is the state of one workload.
type Workload struct {
	Name           string      `json:"name"`
	Kind           string      `json:"kind"` // the miner's name, or the driver's of a workload that is none
	State          miner.State `json:"state"`
	Algorithm      string      `json:"algorithm"`
	HashRate       *float64    `json:"hashRate"`       // hashes per second
	SharesAccepted *int64      `json:"sharesAccepted"` // since the process started
	SharesRejected *int64      `json:"sharesRejected"` // since the process started
	UptimeSeconds  *float64    `json:"uptimeSeconds"`  // of the process; null when none runs
	Restarts       int64       `json:"restarts"`       // since it was asked to start
	Pool           string      `json:"pool"`
	PID            *int        `json:"pid,omitzero"`    // of the first process; left out when none runs
	Limits         Limits      `json:"limits,omitzero"` // that the kernel holds it to; left out when there are none
	// Reason says why the state is no good one, in the words of the miner or the pool; left out when
	// it is a good one or nobody knows.
	Reason string `json:"reason,omitzero"`
}
