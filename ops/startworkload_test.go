package ops_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// shell is a workload of the shell.
func shell(name, restart, script string) ops.WorkloadRequest {
	return ops.WorkloadRequest{Name: name, Argv: []string{"sh", "-c", script}, Restart: restart}
}

// startWorkload starts a workload as soon as the service runs.
func startWorkload(t *testing.T, s *ops.Service, req ops.WorkloadRequest) (ops.WorkloadAck, error) {
	t.Helper()
	var ack ops.WorkloadAck
	var err error
	eventually(t, "the service to run", func() bool {
		ack, err = s.StartWorkload(t.Context(), req)
		return streams.CodeOf(err) != streams.CodeUnavailable
	})
	return ack, err
}

func mustStartWorkload(t *testing.T, s *ops.Service, req ops.WorkloadRequest) ops.WorkloadAck {
	t.Helper()
	ack, err := startWorkload(t, s, req)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// logged returns what a workload has printed.
func logged(t *testing.T, s *ops.Service, name string) string {
	t.Helper()
	l, err := s.Logs(t.Context(), ops.LogsRequest{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text(l)
}

func TestWorkload(t *testing.T) {
	t.Setenv("SWARM_SECRET", "hush")
	s, _ := newService(t, t.TempDir())
	req := shell("box", ops.RestartAlways, `echo "$0 $1 in $PWD with $COLOUR"; env; exec sleep 300`)
	req.Argv, req.Env = append(req.Argv, "zero", "one two"), map[string]string{"COLOUR": "red"}
	ack := mustStartWorkload(t, s, req)
	if !ack.Running || ack.State != miner.Running || ack.PID == nil {
		t.Errorf("ack is %+v", ack)
	}
	eventually(t, "its words", func() bool { return strings.Contains(logged(t, s, "box"), "zero one two in ") })
	if words := logged(t, s, "box"); !strings.Contains(words, "/box/files with red") || strings.Contains(words, "SWARM_SECRET") {
		t.Errorf("it said %q", words)
	}
	if again := mustStartWorkload(t, s, req); *again.PID != *ack.PID {
		t.Errorf("the same request again: %+v after %+v", again, ack)
	}
	other := req
	other.Argv = []string{"sleep", "1"}
	if _, err := startWorkload(t, s, other); streams.CodeOf(err) != streams.CodeConflict {
		t.Errorf("another command under the same name: %v", err)
	}
	if w := workload(t, s, "box"); w.State != miner.Running || w.Kind != "process" || w.PID == nil || *w.PID != *ack.PID || w.Reason != "" {
		t.Errorf("workload is %+v", w)
	}
	if _, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "box"}); streams.CodeOf(err) != streams.CodeConflict {
		t.Errorf("stop_miner: %v", err)
	}
	for range 2 {
		ack, err := s.StopWorkload(t.Context(), ops.NameRequest{Name: "box"})
		if err != nil || ack.Running || ack.State != miner.Stopped || ack.PID != nil || len(children(t)) != 0 {
			t.Errorf("stop: %+v, %v, %d processes", ack, err, len(children(t)))
		}
	}
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	if _, err := s.StopWorkload(t.Context(), ops.NameRequest{Name: "waits"}); streams.CodeOf(err) != streams.CodeConflict {
		t.Errorf("stop_workload of a miner: %v", err)
	}
}

// How a workload ends, and its restart policy, decide what comes next, also after a restart of the agent.
func TestRestarts(t *testing.T) {
	for _, tt := range []struct {
		restart, script string
		state           miner.State // in which it comes to rest
		reason          string
		runs            int // by then
		later           int // and after a restart of the agent
	}{
		{ops.RestartNo, "sleep 0.1", miner.Ended, "it ended with exit code 0", 1, 1},
		{ops.RestartNo, "sleep 0.1; exit 3", miner.Ended, "it ended with exit code 3", 1, 1},
		{ops.RestartNo, "sleep 0.1; kill -9 $$", miner.Ended, "it ended with signal killed", 1, 1},
		{ops.RestartOnFailure, "sleep 0.1", miner.Ended, "it ended with exit code 0", 1, 1},
		{"", "sleep 0.1", miner.Ended, "it ended with exit code 0", 1, 1},
		{ops.RestartOnFailure, "sleep 0.1; exit 3", miner.Failed, `it ended too often, at last with exit code 3 after "run"`, 5, 10},
		{ops.RestartAlways, "sleep 0.1", miner.Failed, `it ended too often, at last with exit code 0 after "run"`, 5, 10},
	} {
		t.Run(tt.restart+" "+tt.script, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := newService(t, dir)
			runs := func() int { return strings.Count(logged(t, s, "job"), "run") }
			rests := func(runsBy int) {
				t.Helper()
				eventually(t, fmt.Sprintf("%d runs", runsBy), func() bool {
					return runs() == runsBy && workload(t, s, "job").State == tt.state
				})
				if w := workload(t, s, "job"); !strings.HasPrefix(w.Reason, tt.reason) || w.PID != nil {
					t.Errorf("it is %+v, want the reason %q", w, tt.reason)
				}
			}
			mustStartWorkload(t, s, shell("job", tt.restart, "echo run; "+tt.script))
			rests(tt.runs)
			stop()
			s, _ = newService(t, dir)
			rests(tt.later)
			if tt.state == miner.Ended {
				mustStartWorkload(t, s, shell("job", tt.restart, "echo run; "+tt.script)) // one more, by hand
				rests(tt.later + 1)
			}
		})
	}
}

// One that ends at once has done its work, or failed.
func TestWorkloadThatEndsAtOnce(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	ack := mustStartWorkload(t, s, shell("good", "", "echo done"))
	eventually(t, "its end", func() bool { return workload(t, s, "good").State == miner.Ended })
	if ack.State != miner.Running && ack.State != miner.Ended || logged(t, s, "good") != "done\n" {
		t.Errorf("ack is %+v, log %q", ack, logged(t, s, "good"))
	}
	eventually(t, "the failure", func() bool {
		_, err := s.StartWorkload(t.Context(), shell("bad", "", "exit 3")) // or it runs for a moment
		return streams.CodeOf(err) == streams.CodeInternal || workload(t, s, "bad").State == miner.Failed
	})
}

// What runs when the agent ends runs again afterwards, unless it was to run once.
func TestWorkloadsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	for _, restart := range ops.Restarts() {
		mustStartWorkload(t, s, shell(restart, restart, "exec sleep 300"))
	}
	stop()
	s, _ = newService(t, dir)
	is(t, s, ops.RestartAlways, miner.Running)
	is(t, s, ops.RestartOnFailure, miner.Running)
	is(t, s, ops.RestartNo, miner.Ended)
	if w := workload(t, s, ops.RestartNo); w.Reason != "it ended with the worker, and is not started again" {
		t.Errorf("it is %+v", w)
	}
}

func TestWorkloadRefusals(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	missing := shell("a", "", "")
	missing.Argv[0] = "no-such-program"
	nowhere := shell("a", "", "true")
	nowhere.Dir = filepath.Join(t.TempDir(), "none")
	directory := shell("a", "", "true")
	directory.Argv = []string{t.TempDir()}
	for _, tt := range []struct {
		req  ops.WorkloadRequest
		code streams.Code
		want string
	}{
		{missing, streams.CodeNotFound, `no program "no-such-program"`},
		{nowhere, streams.CodeNotFound, "there is no directory"},
		{directory, streams.CodeRefused, "cannot be run"},
	} {
		if _, err := startWorkload(t, s, tt.req); streams.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.req, err)
		}
	}
	if st, _ := s.Stats(t.Context()); len(st.Workloads) != 0 {
		t.Errorf("what never ran is there: %+v", st.Workloads)
	}
	locked, _ := newService(t, t.TempDir(), func(cfg *ops.Config) { cfg.Policy = nil })
	if _, err := startWorkload(t, locked, shell("a", "", "true")); streams.CodeOf(err) != streams.CodeRefused {
		t.Errorf("by default: %v", err)
	}
}

func TestWorkloadRequestIsBounded(t *testing.T) {
	env := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprintf("V%d", i)] = ""
		}
		return m
	}
	args := func(n int) []string { return append([]string{"x"}, make([]string, n-1)...) }
	for _, tt := range []struct {
		req ops.WorkloadRequest
		ok  bool
	}{
		{ops.WorkloadRequest{Name: "a", Argv: args(driver.MaxArgs), Env: env(run.MaxEnv), Driver: "process", Restart: "no", Dir: os.TempDir()}, true},
		{ops.WorkloadRequest{Name: "a", Argv: args(driver.MaxArgs + 1)}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Env: env(run.MaxEnv + 1)}, false},
		{ops.WorkloadRequest{Name: "a", Argv: []string{"x", strings.Repeat("y", driver.MaxArgBytes)}}, false},
		{ops.WorkloadRequest{Name: "a", Argv: []string{"x", "a\x00b"}}, false},
		{ops.WorkloadRequest{Name: "a", Argv: []string{"x\x00"}}, false},
		{ops.WorkloadRequest{Name: "a", Argv: []string{""}}, false},
		{ops.WorkloadRequest{Name: "a"}, false},
		{ops.WorkloadRequest{Name: "../a", Argv: args(1)}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Dir: "relative"}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Restart: "sometimes"}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Driver: "docker"}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Env: map[string]string{"": "x"}}, false},
		{ops.WorkloadRequest{Name: "a", Argv: args(1), Env: map[string]string{"SWARM_WORKLOAD": "/x"}}, false},
	} {
		if err := tt.req.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+.100v: %v", tt.req, err)
		}
	}
}

// A limit holds for all that a workload starts, and is told, or the workload is not started.
func TestLimitsHoldOrAreRefused(t *testing.T) {
	means := process.Driver{}.Probe()
	s, _ := newService(t, t.TempDir())
	for _, tt := range []struct {
		limits ops.Limits
		by     driver.Means
	}{
		{ops.Limits{MemoryBytes: 64 << 20}, means.Memory}, {ops.Limits{CPU: 0.5}, means.CPU}, {ops.Limits{Processes: 20}, means.Processes},
	} {
		req := shell("limited", ops.RestartNo, "sleep 300")
		req.Limits = tt.limits
		_, err := startWorkload(t, s, req)
		if tt.by.By == "" {
			if streams.CodeOf(err) != streams.CodeRefused || !strings.Contains(err.Error(), "enforced") {
				t.Errorf("%v, which nothing enforces here: %v", tt.limits, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v, which %s enforces: %v", tt.limits, tt.by.By, err)
		}
		if got := workload(t, s, "limited").Limits; got != tt.limits {
			t.Errorf("stats tell %v, want %v", got, tt.limits)
		}
		if _, err := s.StopWorkload(t.Context(), ops.NameRequest{Name: "limited"}); err != nil {
			t.Fatal(err)
		}
		if got := workload(t, s, "limited").Limits; got != (ops.Limits{}) {
			t.Errorf("of one that does not run, stats tell %v", got)
		}
	}
	req := shell("owner", ops.RestartNo, "true")
	req.Processes = 7
	if _, err := startWorkload(t, s, req); streams.CodeOf(err) != streams.CodeRefused || !strings.Contains(err.Error(), "not 7 processes") {
		t.Errorf("what the owner does not allow: %v", err)
	}
	if means.Memory.By == "" {
		t.Log("SKIPPED: nothing here enforces a limit of memory: " + means.Memory.Why)
		return
	}
	req = shell("eater", ops.RestartNo, "echo up; sleep 0.2; exec tail /dev/zero")
	req.MemoryBytes = 16 << 20
	mustStartWorkload(t, s, req)
	eventually(t, "it is out of memory", func() bool {
		w := workload(t, s, "eater")
		return w.State == miner.Ended && w.Reason == "it ended: out of memory"
	})
}

// What is there and is no program is told in words.
func TestNoProgramIsTold(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"text": 0o700, "locked": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("no program\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for argv0, want := range map[string]string{
		dir + "/text": "is no program for that machine", dir + "/locked": "", dir + "/none": "there is no program", "no-such-program": "there is no program",
	} {
		_, err := startWorkload(t, s, ops.WorkloadRequest{Name: "x", Argv: []string{argv0}})
		if code := streams.CodeOf(err); code != streams.CodeRefused && code != streams.CodeNotFound || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", argv0, err, want)
		}
	}
}
