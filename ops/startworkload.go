package ops

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/miner"
	commands "github.com/seed-b490fa12/swarm/ops/run" // run is a word of this package
	"github.com/seed-b490fa12/swarm/streams"
)

// StartWorkload starts a command line that goes on until it ends or is stopped. The same request
// again changes nothing.
var StartWorkload = streams.Call[WorkloadRequest, WorkloadAck]{
	Family: Family(), Request: "start_workload", Reply: "workload_ack", Verb: VerbWorkloadControl,
}

func startWorkload(w Worker) Operation {
	return FromCall(StartWorkload, func(ctx context.Context, _ streams.Peer, req WorkloadRequest) (WorkloadAck, error) {
		return w.StartWorkload(ctx, req)
	})
}

// How a workload runs.
const (
	DriverProcess = "process" // as a process of the worker's user
	DriverWasm    = "wasm"    // as a WebAssembly module, which sees its directory and nothing else; see package wasm
)

// Drivers lists the words for [WorkloadRequest.Driver].
func Drivers() []string { return []string{DriverProcess, DriverWasm} }

// What happens when a workload ends by itself.
const (
	RestartNo        = "no"         // it stays as it is
	RestartOnFailure = "on-failure" // it is started again, unless it ended with exit code 0
	RestartAlways    = "always"     // it is started again
)

// Restarts lists the words for [WorkloadRequest.Restart].
func Restarts() []string { return []string{RestartNo, RestartOnFailure, RestartAlways} }

// WorkloadRequest asks for a workload that is no miner.
type WorkloadRequest struct {
	Name string `json:"name"`
	// Argv is the program and its arguments; no shell reads them. The program is a path, or a name that is
	// looked up on the machine; of a WebAssembly module it is the path of its file.
	Argv    []string          `json:"argv"`
	Driver  string            `json:"driver,omitzero"`  // DriverProcess when empty
	Dir     string            `json:"dir,omitzero"`     // an absolute path; one of its own when empty
	Env     map[string]string `json:"env,omitzero"`     // its variables, beside PATH, HOME, TMPDIR and LANG
	Restart string            `json:"restart,omitzero"` // RestartOnFailure when empty
	// Limits bound all its processes together. A machine that cannot enforce one refuses the request.
	Limits
}

// Limits are what a workload may use; 0 is as much as the owner of the machine allows.
type Limits struct {
	MemoryBytes int64   `json:"memoryBytes,omitzero"` // without swap; with more it is killed
	CPU         float64 `json:"cpu,omitzero"`         // processors, 0.5 is half of one
	Processes   int     `json:"processes,omitzero"`   // processes and their threads
}

// Summary says what is asked, without the variables.
func (r WorkloadRequest) Summary() string {
	words := []string{"name=" + r.Name}
	for _, w := range []struct{ key, value string }{{"driver", r.Driver}, {"restart", r.Restart}, {"dir", r.Dir}} {
		if w.value != "" {
			words = append(words, w.key+"="+w.value)
		}
	}
	if r.Limits != (Limits{}) {
		words = append(words, r.Limits.String())
	}
	return strings.Join(words, " ") + ": " + shortened(strings.Join(r.Argv, " "))
}

// Validate checks everything that can be checked without knowing the machine.
func (r WorkloadRequest) Validate() error {
	if err := miner.ValidName(r.Name); err != nil {
		return err
	}
	if r.Restart != "" && !slices.Contains(Restarts(), r.Restart) {
		return fmt.Errorf("restart %.40q: want one of %s", r.Restart, strings.Join(Restarts(), ", "))
	}
	if r.Driver != "" && !slices.Contains(Drivers(), r.Driver) {
		return fmt.Errorf("driver %.40q: this version has %s", r.Driver, strings.Join(Drivers(), ", "))
	}
	if err := driver.Limits(r.Limits).Validate(); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), driver.ErrSpec.Error()+": "))
	}
	return commands.Request{Argv: r.Argv, Dir: r.Dir, Env: r.Env}.Validate()
}

// String names the limits that there are, as "memory=64MiB cpu=0.5".
func (l Limits) String() string {
	var words []string
	if l.MemoryBytes > 0 {
		words = append(words, "memory="+units.BytesSize(float64(l.MemoryBytes)))
	}
	if l.CPU > 0 {
		words = append(words, fmt.Sprintf("cpu=%g", l.CPU))
	}
	if l.Processes > 0 {
		words = append(words, fmt.Sprintf("processes=%d", l.Processes))
	}
	return strings.Join(words, " ")
}

// WorkloadAck is the state of a workload after a command.
type WorkloadAck struct {
	Name    string      `json:"name"`
	Running bool        `json:"running"` // a process runs, or will be started again after a pause
	State   miner.State `json:"state"`
	PID     *int        `json:"pid"` // of its first process; null when none runs
}

// command turns a request into what to run here, or says why it may not run.
func command(s *Service, req WorkloadRequest) (job, error) {
	if req.Driver == "" {
		req.Driver = DriverProcess
	}
	if req.Restart == "" {
		req.Restart = RestartOnFailure
	}
	if err := s.cfg.Policy().CheckDriver(req.Driver); err != nil {
		return nil, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	var j job = commandJob{req}
	if req.Driver == DriverWasm {
		if s.cfg.Program == "" {
			return nil, streams.Errorf(streams.CodeRefused, "this worker runs no WebAssembly modules")
		}
		j = wasmJob{commandJob{req}, s.cfg.Program, filepath.Join(s.cfg.Dir, "wasm")}
	}
	if _, err := j.detect(context.Background()); err != nil {
		return nil, err
	}
	return j, nil
}
