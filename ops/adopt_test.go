package ops_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// outliving has workloads go on when the service ends.
func outliving(cfg *ops.Config) {
	cfg.Driver, cfg.GoesOn = shim.Driver{}, func() bool { return true }
}

// newKeeper makes a service whose workloads outlive it; the last one ends them.
func newKeeper(t *testing.T, dir string, configure ...func(*ops.Config)) (s *ops.Service, stop func()) {
	t.Helper()
	if err := shim.Supported(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	s, stop = newService(t, dir, append([]func(*ops.Config){outliving}, configure...)...)
	t.Cleanup(func() { // it runs before that of the service
		ctx := context.Background()
		st, err := s.Stats(ctx)
		if err != nil {
			return
		}
		for _, w := range st.Workloads {
			if w.State.Runs() {
				_, workloadErr := s.StopWorkload(ctx, ops.NameRequest{Name: w.Name})
				_, minerErr := s.StopMiner(ctx, ops.StopRequest{Name: w.Name})
				if workloadErr != nil && minerErr != nil && !strings.Contains(errors.Join(workloadErr, minerErr).Error(), "starting or stopping") {
					t.Error(workloadErr, minerErr)
				}
			}
		}
	})
	return s, stop
}

// runOf returns the run that one who follows is told of.
func runOf(t *testing.T, s *ops.Service, name string) (run string) {
	t.Helper()
	seen := errors.New("seen")
	_, err := s.Logs(t.Context(), ops.LogsRequest{Name: name, Follow: true}, func(l ops.Logs) error {
		run = l.Run
		return seen
	})
	if !errors.Is(err, seen) || run == "" {
		t.Fatalf("run %q, %v", run, err)
	}
	return run
}

const counts = `i=0; while :; do i=$((i+1)); echo "count $i"; sleep 0.01; done`

// A workload goes on while services come and go: it is the same process, and its log has no gap and no
// line twice.
func TestWorkloadOutlivesTheService(t *testing.T) {
	dir := t.TempDir()
	s, stop := newKeeper(t, dir)
	ack := mustStartWorkload(t, s, shell("counter", ops.RestartAlways, counts))
	run := runOf(t, s, "counter")
	for i := range 3 {
		eventually(t, "more lines", func() bool { return strings.Count(logged(t, s, "counter"), "\n") > 10*i })
		stop()
		s, stop = newKeeper(t, dir)
		is(t, s, "counter", miner.Running)
		if w := workload(t, s, "counter"); w.PID == nil || *w.PID != *ack.PID || w.Restarts != 0 {
			t.Fatalf("it is %+v, and was %d", w, *ack.PID)
		}
		if now := runOf(t, s, "counter"); now != run {
			t.Errorf("who follows is told of another run: %q, not %q", now, run)
		}
	}
	if again := mustStartWorkload(t, s, shell("counter", ops.RestartAlways, counts)); *again.PID != *ack.PID {
		t.Errorf("the same request again: %+v", again)
	}
	l, err := s.Logs(t.Context(), ops.LogsRequest{Name: "counter", Lines: 1000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range l.Lines {
		if want := fmt.Sprintf("count %d", i+1); line.Text != want && !l.HasMore {
			t.Fatalf("line %d is %q", i+1, line.Text)
		}
	}
	if _, err := s.StopWorkload(t.Context(), ops.NameRequest{Name: "counter"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "workloads", "counter", "keep")); !os.IsNotExist(err) {
		t.Errorf("what was kept of the run, with its environment, is still there: %v", err)
	}
	stop()
	s, _ = newKeeper(t, dir)
	stays(t, s, "counter")
}

// What ended while there was no service is told, and started again where it is to be.
func TestEndsWithoutTheService(t *testing.T) {
	dir := t.TempDir()
	s, stop := newKeeper(t, dir)
	waits := func(restart, word, then string) ops.WorkloadRequest {
		return shell(word, restart, "echo up; while [ ! -e "+dir+"/go ]; do sleep 0.02; done; "+then)
	}
	mustStartWorkload(t, s, waits(ops.RestartNo, "once", "exit 7"))
	mustStartWorkload(t, s, waits(ops.RestartAlways, "always", "exec sleep 300"))
	first := *workload(t, s, "always").PID
	stop()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop = newKeeper(t, dir)
	is(t, s, "once", miner.Ended)
	if w := workload(t, s, "once"); w.Reason != "it ended with exit code 7" {
		t.Errorf("it is %+v", w)
	}
	is(t, s, "always", miner.Running)
	if w := workload(t, s, "always"); *w.PID != first {
		t.Errorf("it is %+v, and was %d", w, first)
	}
	stop()
	s, _ = newKeeper(t, dir)
	is(t, s, "once", miner.Ended)
	is(t, s, "always", miner.Running)
}

// What runs and is not what was last acknowledged is stopped: a command came to no end, or the owner
// does not allow it any more.
func TestWhatIsNotWantedIsStopped(t *testing.T) {
	dir := t.TempDir()
	s, stop := newKeeper(t, dir)
	for _, name := range []string{"good", "other", "none"} {
		mustStartWorkload(t, s, shell(name, ops.RestartAlways, counts))
	}
	old := *workload(t, s, "other").PID
	stop()
	in := func(name string) string { return filepath.Join(dir, "workloads", name) }
	err := errors.Join(
		os.WriteFile(filepath.Join(in("other"), "run", "note.json"), []byte(`{"wanted":"another"}`), 0o600),
		os.Remove(filepath.Join(in("none"), "workload.json")), os.Remove(filepath.Join(in("none"), "workload.json.copy")))
	if err != nil {
		t.Fatal(err)
	}
	s, stop = newKeeper(t, dir)
	is(t, s, "good", miner.Running)
	eventually(t, "the other to be started anew", func() bool {
		w := workload(t, s, "other")
		return w.State == miner.Running && *w.PID != old
	})
	is(t, s, "none", miner.Stopped)
	stop()
	s, _ = newKeeper(t, dir, func(cfg *ops.Config) { cfg.Policy = func() ops.Policy { return allowed{} } })
	is(t, s, "good", miner.Failed)
	if w := workload(t, s, "good"); !strings.Contains(w.Reason, "not in the list") {
		t.Errorf("it is %+v", w)
	}
}

// A miner goes on, too.
func TestMinerOutlivesTheService(t *testing.T) {
	p := serve(t)
	dir := t.TempDir()
	s, stop := newKeeper(t, dir)
	req := ops.StartRequest{Miner: "refpow", Pool: p.URL(), Wallet: "bc1q", Threads: 1}
	if _, err := start(t, s, req); err != nil {
		t.Fatal(err, logged(t, s, "refpow"))
	}
	mined := func() bool {
		w := workload(t, s, "refpow")
		return w.State == miner.Mining && w.SharesAccepted != nil && *w.SharesAccepted > 0
	}
	eventually(t, "shares", mined)
	pid := *workload(t, s, "refpow").PID
	stop()
	s, _ = newKeeper(t, dir)
	eventually(t, "shares after a restart", mined)
	if w := workload(t, s, "refpow"); *w.PID != pid || w.Restarts != 0 {
		t.Errorf("it is %+v, and was %d", w, pid)
	}
	mustStart(t, s, req) // as it is
	mustStop(t, s, "refpow")
}

// Without a word to the contrary workloads end with the service.
func TestNothingGoesOnByDefault(t *testing.T) {
	dir := t.TempDir()
	s, stop := newKeeper(t, dir, func(cfg *ops.Config) { cfg.GoesOn = nil })
	mustStartWorkload(t, s, shell("counter", ops.RestartAlways, counts))
	first := *workload(t, s, "counter").PID
	stop()
	s, _ = newKeeper(t, dir)
	is(t, s, "counter", miner.Running)
	if again := *workload(t, s, "counter").PID; again == first {
		t.Error("it went on")
	}
}
