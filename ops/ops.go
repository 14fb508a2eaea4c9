// Package ops lets a peer ask a worker for its state and its logs, and start and stop its miners.
//
// The messages are values that both sides share. A controller asks:
//
//	stats, err := ops.GetStats.Do(ctx, client, worker, ops.StatsRequest{})
//	ack, err := ops.StartMiner.Do(ctx, client, worker, ops.StartRequest{Miner: "refpow", Pool: "stratum+tcp://…"})
//	for logs, err := range ops.GetLogs.Do(ctx, client, worker, ops.LogsRequest{Name: "refpow", Follow: true}) { … }
//
// A worker offers the [Worker] interface; [Service] is the one that really runs miners:
//
//	s, err := ops.New(ops.Config{Dir: dir, Adapters: adapters, Policy: owner.Policy})
//	err = ops.Register(mux, s)
//	err = s.Run(ctx) // blocks; at its end no workload is left
//
// Who may call is for the mux to say. What may run at all is for the owner of the machine: a miner that the
// [Policy] does not enable is refused to everyone, and the default enables none.
//
// Workloads run as processes with the rights of the agent, so the agent should not be root.
package ops

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// Family returns the family of stats and miner control.
func Family() streams.Family { return streams.Family{Name: "ops", Versions: []string{"1.0.0"}} }

// LogsFamily returns the family of logs.
func LogsFamily() streams.Family { return streams.Family{Name: "logs", Versions: []string{"1.0.0"}} }

// The rights that the message types need.
const (
	VerbStatsRead    streams.Verb = "stats.read"
	VerbLogsRead     streams.Verb = "logs.read"
	VerbMinerControl streams.Verb = "miner.control"
)

// The message types.
var (
	// GetStats asks for the state of the machine and its workloads.
	GetStats = streams.Call[StatsRequest, Stats]{
		Family: Family(), Request: "get_stats", Reply: "stats", Verb: VerbStatsRead,
	}
	// StartMiner starts a miner. The same request again changes nothing.
	StartMiner = streams.Call[StartRequest, MinerAck]{
		Family: Family(), Request: "start_miner", Reply: "miner_ack", Verb: VerbMinerControl,
	}
	// StopMiner stops a miner and all its processes. The same request again changes nothing.
	StopMiner = streams.Call[StopRequest, MinerAck]{
		Family: Family(), Request: "stop_miner", Reply: "miner_ack", Verb: VerbMinerControl,
	}
	// GetLogs asks for what a workload printed, and with Follow for what it prints from now on.
	GetLogs = streams.Feed[LogsRequest, Logs]{
		Family: LogsFamily(), Request: "get_logs", Reply: "logs", Verb: VerbLogsRead,
	}
)

// Worker is what a machine must offer. The methods are called concurrently. An error for the caller's eyes is a
// *streams.Error.
type Worker interface {
	Stats(ctx context.Context) (Stats, error)
	StartMiner(ctx context.Context, req StartRequest) (MinerAck, error)
	StopMiner(ctx context.Context, req StopRequest) (MinerAck, error)
	// Logs sends what there is and returns the last item.
	Logs(ctx context.Context, req LogsRequest, send func(Logs) error) (Logs, error)
}

// Register makes the mux answer the message types with the worker.
func Register(mux *streams.Mux, w Worker) error {
	return errors.Join(
		GetStats.Handle(mux, func(ctx context.Context, _ streams.Peer, _ StatsRequest) (Stats, error) {
			return w.Stats(ctx)
		}),
		StartMiner.Handle(mux, func(ctx context.Context, _ streams.Peer, req StartRequest) (MinerAck, error) {
			return w.StartMiner(ctx, req)
		}),
		StopMiner.Handle(mux, func(ctx context.Context, _ streams.Peer, req StopRequest) (MinerAck, error) {
			return w.StopMiner(ctx, req)
		}),
		GetLogs.Handle(mux, func(ctx context.Context, _ streams.Peer, req LogsRequest, send func(Logs) error) (Logs, error) {
			return w.Logs(ctx, req, send)
		}),
	)
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
}

// Workload is the state of one workload.
type Workload struct {
	Name           string      `json:"name"`
	Kind           string      `json:"kind"` // the miner's name
	State          miner.State `json:"state"`
	Algorithm      string      `json:"algorithm"`
	HashRate       *float64    `json:"hashRate"`       // hashes per second
	SharesAccepted *int64      `json:"sharesAccepted"` // since the process started
	SharesRejected *int64      `json:"sharesRejected"` // since the process started
	UptimeSeconds  *float64    `json:"uptimeSeconds"`  // of the process; null when none runs
	Restarts       int64       `json:"restarts"`       // since it was asked to start
	Pool           string      `json:"pool"`
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
}

// Summary says what is asked without the wallet, the password and the raw settings.
func (r StartRequest) Summary() string {
	words := []string{"miner=" + r.Miner}
	for _, w := range []struct{ key, value string }{{"name", r.Name}, {"algorithm", r.Algorithm}, {"profile", r.Profile}, {"pool", r.Pool}} {
		if w.value != "" {
			words = append(words, w.key+"="+w.value)
		}
	}
	if r.Threads > 0 {
		words = append(words, fmt.Sprintf("threads=%d", r.Threads))
	}
	return strings.Join(words, " ")
}

// Validate checks everything that can be checked without knowing the machine.
func (r StartRequest) Validate() error {
	if err := miner.ValidName(r.Miner); err != nil {
		return fmt.Errorf("miner: %w", err)
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

// StopRequest asks a workload to stop.
type StopRequest struct {
	Name string `json:"name"`
}

// Summary says what is asked.
func (r StopRequest) Summary() string { return "name=" + r.Name }

// Validate checks the name.
func (r StopRequest) Validate() error { return miner.ValidName(r.Name) }

// MinerAck tells how a workload stands after a command.
type MinerAck struct {
	Name      string      `json:"name"`
	Running   bool        `json:"running"` // a process runs, or will be started again after a pause
	State     miner.State `json:"state"`
	HashRate  *float64    `json:"hashRate"` // hashes per second, null while unknown
	Algorithm string      `json:"algorithm"`
}

// DefaultLines is how many lines come when a request says nothing.
const DefaultLines = 100

// LogsRequest asks for lines of a log. Without Since and Offset the last lines come, else the first ones from
// there. Follow sends all that comes after them too, until the workload ends.
type LogsRequest struct {
	Name   string `json:"name,omitzero"`   // may be empty when there is one workload only
	Lines  int    `json:"lines,omitzero"`  // 0 for DefaultLines, at most logs.MaxLines
	Since  int64  `json:"since,omitzero"`  // Unix ms, inclusive
	Until  int64  `json:"until,omitzero"`  // Unix ms, inclusive
	Offset *int64 `json:"offset,omitzero"` // go on from here: the next of an earlier answer
	Follow bool   `json:"follow,omitzero"`
}

// Most is how many lines an answer has at most that is not followed.
func (r LogsRequest) Most() int {
	if r.Lines == 0 {
		return DefaultLines
	}
	return r.Lines
}

// Summary says what is asked.
func (r LogsRequest) Summary() string {
	return fmt.Sprintf("name=%s lines=%d follow=%v", r.Name, r.Lines, r.Follow)
}

// Validate checks the bounds.
func (r LogsRequest) Validate() error {
	if r.Name != "" {
		if err := miner.ValidName(r.Name); err != nil {
			return err
		}
	}
	if r.Lines < 0 || r.Lines > logs.MaxLines {
		return fmt.Errorf("lines %d: need 0 to %d", r.Lines, logs.MaxLines)
	}
	if r.Since < 0 || r.Until < 0 || r.Until > 0 && r.Until < r.Since {
		return fmt.Errorf("since %d and until %d: need Unix ms, in this order", r.Since, r.Until)
	}
	if r.Offset != nil && (*r.Offset < 0 || r.Since > 0) {
		return errors.New("offset must not be negative, and excludes since")
	}
	return nil
}

// Logs is a stretch of a log. It takes at most 512 KiB on the wire.
type Logs struct {
	Name    string      `json:"name"`
	Lines   []logs.Line `json:"lines"`
	Next    int64       `json:"next"`          // the offset to go on from
	HasMore bool        `json:"hasMore"`       // lines that match were left out: ask with a larger count, or from next
	Gap     *logs.Gap   `json:"gap,omitzero"`  // lines before the first one here were dropped unread
	Exit    *Exit       `json:"exit,omitzero"` // how the workload ended, in the last item of a followed log
}

// Exit is the end of a workload.
type Exit struct {
	Code   int    `json:"code"`            // exit code, -1 after a signal
	Signal string `json:"signal,omitzero"` // as "killed"
}
