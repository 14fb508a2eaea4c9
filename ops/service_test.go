package ops_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gopsutil "github.com/shirou/gopsutil/v4/process"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// start starts a miner as soon as the service runs.
func start(t *testing.T, s *ops.Service, req ops.StartRequest) (ops.MinerAck, error) {
	t.Helper()
	var ack ops.MinerAck
	var err error
	eventually(t, "the service to run", func() bool {
		ack, err = s.StartMiner(t.Context(), req)
		return streams.CodeOf(err) != streams.CodeUnavailable
	})
	return ack, err
}

func mustStart(t *testing.T, s *ops.Service, req ops.StartRequest) ops.MinerAck {
	t.Helper()
	ack, err := start(t, s, req)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func workload(t *testing.T, s *ops.Service, name string) ops.Workload {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range st.Workloads {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("no workload %q in %+v", name, st.Workloads)
	return ops.Workload{}
}

// children lists the processes we have started.
func children(t *testing.T) []*gopsutil.Process {
	t.Helper()
	self, err := gopsutil.NewProcess(int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	all, err := self.Children()
	if err != nil && len(all) > 0 {
		t.Fatal(err)
	}
	return all
}

// The main job: a real miner finds real shares, tells how it goes, and is gone when it was stopped.
func TestMine(t *testing.T) {
	p := serve(t)
	dir := t.TempDir()
	s, _ := newService(t, dir)
	req := ops.StartRequest{Miner: "refpow", Pool: p.URL(), Wallet: "bc1q", Password: "hush-hush", Threads: 1}
	ack := mustStart(t, s, req)
	if ack.Name != "refpow" || !ack.Running || ack.State == miner.Starting || ack.State == miner.Failed {
		t.Errorf("ack is %+v", ack)
	}
	eventually(t, "accepted shares in the stats", func() bool {
		w := workload(t, s, "refpow")
		return w.SharesAccepted != nil && *w.SharesAccepted > 1 && w.HashRate != nil
	})
	w := workload(t, s, "refpow")
	if w.State != miner.Mining || *w.HashRate < 1000 || *w.SharesRejected != 0 || w.Algorithm != "sha256d" ||
		w.Kind != "refpow" || w.Pool == "" || w.UptimeSeconds == nil || w.Restarts != 0 {
		t.Errorf("workload is %+v", w)
	}
	if p.Workers()["bc1q.refpow"].Accepted < 2 {
		t.Errorf("the pool has seen %+v", p.Workers())
	}
	if again := mustStart(t, s, req); !again.Running || len(children(t)) != 1 {
		t.Errorf("the same start again: %+v, %d processes", again, len(children(t)))
	}
	other := req
	other.Wallet = "bc1other"
	if _, err := start(t, s, other); streams.CodeOf(err) != streams.CodeConflict {
		t.Errorf("other settings under the same name: %v", err)
	}
	logged, err := s.Logs(t.Context(), ops.LogsRequest{}, nil)
	if err != nil || !strings.Contains(text(logged), "share accepted") || strings.Contains(text(logged), "hush-hush") {
		t.Errorf("logs are %v, %v", logged, err)
	}
	for range 2 {
		ack, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "refpow"})
		if err != nil || ack.Running || ack.State != miner.Stopped || ack.HashRate != nil {
			t.Errorf("stop: %+v, %v", ack, err)
		}
		if n := len(children(t)); n != 0 {
			t.Errorf("%d processes after the stop", n)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "workloads", "refpow", "run")); !os.IsNotExist(err) {
		t.Errorf("the miner's files, with its password, are still there: %v", err)
	}
	if again := mustStart(t, s, other); !again.Running { // after a stop other settings are fine
		t.Errorf("start after the stop: %+v", again)
	}
}

func text(l ops.Logs) string {
	var b strings.Builder
	for _, line := range l.Lines {
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

func TestRefusals(t *testing.T) {
	pool := "stratum+tcp://127.0.0.1:1"
	tests := []struct {
		name  string
		req   ops.StartRequest
		code  streams.Code
		words string
	}{
		{"unknown miner", ops.StartRequest{Miner: "xyz"}, streams.CodeNotFound, "there are: "},
		{"not enabled", ops.StartRequest{Miner: "talks"}, streams.CodeRefused, "not in the list"},
		{"not this pool", ops.StartRequest{Miner: "refpow", Pool: "stratum+tcp://bad.example:1"}, streams.CodeRefused, "not this pool"},
		{"not this wallet", ops.StartRequest{Miner: "refpow", Pool: pool, Wallet: "bad"}, streams.CodeRefused, "not this wallet"},
		{"unknown profile", ops.StartRequest{Miner: "refpow", Pool: pool, Profile: "turbo"}, streams.CodeRefused, "eco, balanced, full"},
		{"too many threads", ops.StartRequest{Miner: "refpow", Pool: pool, Threads: runtime.NumCPU() + 1}, streams.CodeRefused, "processors"},
		{"config not taken", ops.StartRequest{Miner: "refpow", Pool: pool, Config: []byte(`{"a":1}`)}, streams.CodeRefused, "config"},
		{"no pool", ops.StartRequest{Miner: "refpow"}, streams.CodeRefused, "needs a pool"},
	}
	s, _ := newService(t, t.TempDir(), func(c *ops.Config) { c.Policy = func() ops.Policy { return allowed{"refpow"} } })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := start(t, s, tt.req)
			if streams.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got %v, want %d with %q", err, tt.code, tt.words)
			}
		})
	}
	if st, _ := s.Stats(t.Context()); len(st.Workloads) != 0 {
		t.Errorf("refused starts have left %+v", st.Workloads)
	}
	if _, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "nope"}); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("stop of an unknown name: %v", err)
	}
	if _, err := s.Logs(t.Context(), ops.LogsRequest{Name: "nope"}, nil); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("logs of an unknown name: %v", err)
	}
}

func TestNothingIsEnabledByDefault(t *testing.T) {
	s, _ := newService(t, t.TempDir(), func(c *ops.Config) { c.Policy = nil })
	for _, kind := range []string{"refpow", "talks"} {
		if _, err := start(t, s, ops.StartRequest{Miner: kind}); streams.CodeOf(err) != streams.CodeRefused {
			t.Errorf("start of %s: %v", kind, err)
		}
	}
}

func TestOneServiceForADirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := ops.New(ops.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ops.New(ops.Config{Dir: dir}); !errors.Is(err, ops.ErrInUse) {
		t.Errorf("a second service: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	newService(t, dir)
}

func TestConcurrentStartsMakeOneProcess(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "talks"}) // the service runs
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			if ack, err := s.StartMiner(t.Context(), ops.StartRequest{Miner: "waits"}); err != nil || !ack.Running {
				t.Errorf("start: %+v, %v", ack, err)
			}
		})
	}
	starts.Wait()
	if n := len(children(t)); n != 2 {
		t.Errorf("%d processes, want 2", n)
	}
}

func TestDeathAtOnceIsTold(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	// The file of runs makes the adapter say "mining" early; the death must be told nevertheless or
	// the miner be known as failed in the end.
	_, err := start(t, s, ops.StartRequest{Miner: "dies-at-once"})
	if err != nil && !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("start: %v", err)
	}
	eventually(t, "the failure", func() bool { return workload(t, s, "dies-at-once").State == miner.Failed })
	got, err := s.Logs(t.Context(), ops.LogsRequest{Name: "dies-at-once", Follow: true}, nil)
	if err != nil || !strings.Contains(text(got), "run 1") || got.Exit == nil || got.Exit.Code != 3 {
		t.Errorf("logs of the failure: %+v, %v", got, err)
	}
}

func TestCrashLoop(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "dies-soon"})
	eventually(t, "the crash loop to be given up", func() bool { return workload(t, s, "dies-soon").State == miner.Failed })
	if w := workload(t, s, "dies-soon"); w.Restarts != 4 || w.UptimeSeconds != nil || w.HashRate != nil {
		t.Errorf("after five ends: %+v", w)
	}
	ack, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "dies-soon"})
	if err != nil || ack.State != miner.Stopped {
		t.Errorf("stop of a failed one: %+v, %v", ack, err)
	}
	if ack := mustStart(t, s, ops.StartRequest{Miner: "dies-soon"}); !ack.Running {
		t.Errorf("start after the failure: %+v", ack)
	}
}

func TestKilledMinerComesBack(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	for _, c := range children(t) {
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the restart", func() bool {
		w := workload(t, s, "waits")
		return w.Restarts == 1 && w.State == miner.Mining
	})
}

func TestFollow(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "talks"})
	var got []logs.Line
	stopped := make(chan error, 1)
	last, err := s.Logs(t.Context(), ops.LogsRequest{Name: "talks", Offset: new(int64), Lines: 10, Follow: true}, func(l ops.Logs) error {
		got = append(got, l.Lines...)
		if len(got) == 3001 {
			go func() {
				_, err := s.StopMiner(context.Background(), ops.StopRequest{Name: "talks"})
				stopped <- err
			}()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	got = append(got, last.Lines...)
	if len(got) != 3002 || got[0].Text != "run 1" || got[3000].Text != "line 2999" || got[3001].Text != "bye" {
		t.Errorf("%d lines, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	if last.Exit == nil || *last.Exit != (ops.Exit{}) {
		t.Errorf("exit is %+v", last.Exit)
	}
}

func TestFollowEndsWithTheCaller(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Logs(ctx, ops.LogsRequest{Follow: true}, func(ops.Logs) error { cancel(); return nil })
	if err == nil {
		t.Error("no error after the caller left")
	}
	until := time.Now().Add(100 * time.Millisecond).UnixMilli()
	last, err := s.Logs(t.Context(), ops.LogsRequest{Follow: true, Until: until}, func(ops.Logs) error { return nil })
	if err != nil || last.Exit != nil {
		t.Errorf("follow until a moment: %+v, %v", last, err)
	}
}

func TestLogQueries(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "talks"})
	eventually(t, "all lines", func() bool {
		l, err := s.Logs(t.Context(), ops.LogsRequest{Lines: 1}, nil)
		return err == nil && text(l) == "line 2999\n"
	})
	get := func(req ops.LogsRequest) ops.Logs {
		t.Helper()
		l, err := s.Logs(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := get(ops.LogsRequest{}); len(l.Lines) != ops.DefaultLines || !l.HasMore || l.Lines[99].Text != "line 2999" {
		t.Errorf("by default: %d lines, more %v", len(l.Lines), l.HasMore)
	}
	first := get(ops.LogsRequest{Since: 1, Lines: 2})
	if text(first) != "run 1\nline 0\n" || !first.HasMore {
		t.Errorf("since the beginning: %+v", first)
	}
	if l := get(ops.LogsRequest{Offset: &first.Next, Lines: 1}); text(l) != "line 1\n" {
		t.Errorf("from the next offset: %+v", l)
	}
	if l := get(ops.LogsRequest{Since: time.Now().UnixMilli() + 60_000}); len(l.Lines) != 0 || l.HasMore {
		t.Errorf("since the future: %+v", l)
	}
	beyond := int64(1 << 40)
	if _, err := s.Logs(t.Context(), ops.LogsRequest{Offset: &beyond}, nil); streams.CodeOf(err) != streams.CodeInvalid {
		t.Errorf("offset beyond the end: %v", err)
	}
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	if _, err := s.Logs(t.Context(), ops.LogsRequest{}, nil); streams.CodeOf(err) != streams.CodeInvalid {
		t.Errorf("no name with two workloads: %v", err)
	}
}

func TestEndOfTheService(t *testing.T) {
	dir := t.TempDir()
	s, stop := newService(t, dir)
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	before, _ := s.Stats(t.Context())
	stop()
	if n := len(children(t)); n != 0 {
		t.Errorf("%d processes after the end", n)
	}
	if _, err := s.StartMiner(t.Context(), ops.StartRequest{Miner: "waits"}); streams.CodeOf(err) != streams.CodeUnavailable {
		t.Errorf("start after the end: %v", err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a service ran twice")
	}
	s, _ = newService(t, dir)
	after, _ := s.Stats(t.Context())
	if after.Boot <= before.Boot {
		t.Errorf("boot went from %d to %d", before.Boot, after.Boot)
	}
	if w := workload(t, s, "waits"); w.Kind != "waits" {
		t.Errorf("the workload of the last run is %+v", w)
	}
	if l, err := s.Logs(t.Context(), ops.LogsRequest{Name: "waits"}, nil); err != nil || !strings.HasPrefix(text(l), "run 1\nbye\n") {
		t.Errorf("the log of the last run is %+v, %v", l, err)
	}
}

func TestLeftoversOfAKilledAgentAreEnded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("see process.Driver")
	}
	dir := t.TempDir()
	run := filepath.Join(dir, "workloads", "waits", "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	left, err := process.Driver{}.Start(driver.Spec{Argv: []string{executable(t), "child", "waits", dir + "/runs"}, Dir: run})
	if err != nil {
		t.Fatal(err)
	}
	newService(t, dir)
	<-left.Done()
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("its files are still there: %v", err)
	}
}

func TestWorkloadsAreBounded(t *testing.T) {
	dir := t.TempDir()
	name := func(i int) string { return "w" + strings.Repeat("x", i) }
	for i := range ops.MaxWorkloads - 1 {
		if err := os.MkdirAll(filepath.Join(dir, "workloads", name(i)[:min(63, i+1)]), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "workloads", "another"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, _ := newService(t, dir)
	if _, err := start(t, s, ops.StartRequest{Miner: "waits"}); streams.CodeOf(err) != streams.CodeRefused {
		t.Errorf("one workload more than allowed: %v", err)
	}
	if ack := mustStart(t, s, ops.StartRequest{Miner: "waits", Name: "another"}); !ack.Running {
		t.Errorf("a known name: %+v", ack)
	}
}

func TestHostStats(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	var st ops.Stats
	eventually(t, "the second measurement", func() bool {
		next, err := s.Stats(t.Context())
		if err != nil || next.Seq <= st.Seq {
			t.Fatalf("seq went from %d to %d, %v", st.Seq, next.Seq, err)
		}
		st = next
		return st.Host.CPUPercent != nil
	})
	h := st.Host
	if h.MemTotal == nil || *h.MemUsed > *h.MemTotal || h.DiskTotal == nil || *h.DiskUsed > *h.DiskTotal ||
		*h.CPUPercent < 0 || *h.CPUPercent > 100 || st.Node != "node" || st.Name != "rig-01" || st.UptimeSeconds <= 0 {
		t.Errorf("stats are %+v", st)
	}
}

func TestStateIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes there")
	}
	p := serve(t)
	dir := filepath.Join(t.TempDir(), "ops")
	s, _ := newService(t, dir, func(c *ops.Config) { c.Adapters = c.Adapters[:1] })
	mustStart(t, s, ops.StartRequest{Miner: "refpow", Pool: p.URL()})
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // a status file that was replaced meanwhile
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
