package ops_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// is waits until the workload is in that state.
func is(t *testing.T, s *ops.Service, name string, state miner.State) {
	t.Helper()
	eventually(t, name+" to be "+string(state), func() bool { return workload(t, s, name).State == state })
}

func mustStop(t *testing.T, s *ops.Service, name string) {
	t.Helper()
	if _, err := s.StopMiner(t.Context(), ops.StopRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
}

// stays checks that the workload does not start by itself.
func stays(t *testing.T, s *ops.Service, name string) {
	t.Helper()
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		if w := workload(t, s, name); w.State != miner.Stopped || w.Reason != "" {
			t.Fatalf("it is %+v", w)
		}
	}
}

// What a workload was last told to do it does after a restart of the agent.
func TestWantedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits", Threads: 1, Wallet: "hush"})
	mustStart(t, s, ops.StartRequest{Miner: "talks"})
	mustStop(t, s, "talks")
	if _, err := start(t, s, ops.StartRequest{Miner: "waits", Pool: "stratum+tcp://bad.example:1", Replace: true}); err == nil {
		t.Error("started what the owner does not allow")
	}
	for range 2 {
		stop()
		s, stop = newService(t, dir)
		is(t, s, "waits", miner.Mining)
		stays(t, s, "talks")
		if w := workload(t, s, "waits"); w.Restarts != 0 || w.Kind != "waits" {
			t.Errorf("after a restart it is %+v", w)
		}
		// The same request again finds it as it was asked for, wallet and all.
		mustStart(t, s, ops.StartRequest{Miner: "waits", Threads: 1, Wallet: "hush"})
	}
	mustStop(t, s, "waits")
	stop()
	s, _ = newService(t, dir)
	stays(t, s, "waits")
	b, err := os.ReadFile(filepath.Join(dir, "workloads", "waits", "workload.json"))
	if err != nil || strings.Contains(string(b), "hush") {
		t.Errorf("what was stopped keeps %q, %v", b, err)
	}
}

// The owner's policy counts at each start. What it does not allow says so, and is tried again.
func TestWantedAndThePolicy(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	stop()
	allowedNow := make(chan struct{})
	s, _ = newService(t, dir, func(cfg *ops.Config) {
		before := cfg.Policy
		cfg.Restart.Slow = 20 * time.Millisecond
		cfg.Policy = func() ops.Policy {
			select {
			case <-allowedNow:
				return before()
			default:
				return allowed{}
			}
		}
	})
	is(t, s, "waits", miner.Failed)
	if w := workload(t, s, "waits"); w.Reason != "miner waits is not in the list; it is tried again every 20ms" {
		t.Errorf("the reason is %q", w.Reason)
	}
	close(allowedNow)
	is(t, s, "waits", miner.Mining)
}

// One that was given up is tried again, slowly, until somebody stops it; the state holds its last
// words.
func TestGivenUpIsTriedAgain(t *testing.T) {
	s, _ := newService(t, t.TempDir(), func(cfg *ops.Config) { cfg.Restart.Slow = 100 * time.Millisecond })
	mustStart(t, s, ops.StartRequest{Miner: "dies-soon"})
	var reason string
	eventually(t, "two times", func() bool {
		if w := workload(t, s, "dies-soon"); w.State == miner.Failed {
			reason = w.Reason
		}
		got, err := s.Logs(t.Context(), ops.LogsRequest{Name: "dies-soon"}, nil)
		return err == nil && strings.Contains(text(got), "run 6") && reason != ""
	})
	if want := `it ended too often, at last with exit code 4 after "run 5"; it is tried again every 100ms`; reason != want {
		t.Errorf("the reason is %q, want %q", reason, want)
	}
	mustStop(t, s, "dies-soon")
	stays(t, s, "dies-soon")
}

// A damaged record costs nothing while its second copy is whole. Without both the machine does not
// make up what to do.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	file := filepath.Join(dir, "workloads", "waits", "workload.json")
	for _, damage := range []func() error{
		func() error { return os.Truncate(file, 100) },
		func() error { return os.Remove(file) },
		func() error { return os.WriteFile(file+".copy", nil, 0o600) },
	} {
		stop()
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		s, stop = newService(t, dir)
		is(t, s, "waits", miner.Mining)
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
	}
	stop()
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), os.WriteFile(file+".copy", []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, _ = newService(t, dir)
	stays(t, s, "waits")
}

// What cannot be kept is not done: an acknowledged command would be lost with the next restart.
func TestWantedWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	file := filepath.Join(dir, "workloads", "waits", "workload.json.copy")
	if err := errors.Join(os.Remove(file), os.MkdirAll(filepath.Join(file, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "waits"}); streams.CodeOf(err) != streams.CodeUnavailable ||
		!strings.Contains(err.Error(), "goes on as before") || strings.Contains(err.Error(), dir) {
		t.Errorf("stop says %v", err)
	}
	is(t, s, "waits", miner.Mining)
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s, "waits")
	stop()
	s, _ = newService(t, dir)
	stays(t, s, "waits")
}

// An agent that is told to stop while it starts what is wanted ends, and leaves nothing.
func TestEndWhileResuming(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	for i := range 10 {
		stop()
		if n := len(children(t)); n != 0 {
			t.Fatalf("%d processes after the end", n)
		}
		s, stop = newService(t, dir)
		for end := time.Now().Add(time.Duration(i) * 3 * time.Millisecond); time.Now().Before(end); {
			workload(t, s, "waits")
		}
	}
}
