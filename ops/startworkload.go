package ops

import (
	"context"
	"fmt"
	"slices"
	"strings"

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

// DriverProcess runs a workload as a process of the worker's user.
const DriverProcess = "process"

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
	// looked up on the machine.
	Argv    []string          `json:"argv"`
	Driver  string            `json:"driver,omitzero"`  // DriverProcess when empty
	Dir     string            `json:"dir,omitzero"`     // an absolute path; one of its own when empty
	Env     map[string]string `json:"env,omitzero"`     // its variables, beside PATH, HOME, TMPDIR and LANG
	Restart string            `json:"restart,omitzero"` // RestartOnFailure when empty
}

// Summary says what is asked, without the variables.
func (r WorkloadRequest) Summary() string {
	words := []string{"name=" + r.Name}
	for _, w := range []struct{ key, value string }{{"driver", r.Driver}, {"restart", r.Restart}, {"dir", r.Dir}} {
		if w.value != "" {
			words = append(words, w.key+"="+w.value)
		}
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
	if r.Driver != "" && r.Driver != DriverProcess {
		return fmt.Errorf("driver %.40q: this version has %s", r.Driver, DriverProcess)
	}
	return commands.Request{Argv: r.Argv, Dir: r.Dir, Env: r.Env}.Validate()
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
	j := commandJob{req}
	if _, err := j.program(); err != nil {
		return nil, err
	}
	return j, nil
}
