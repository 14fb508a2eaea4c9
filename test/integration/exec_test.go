//go:build unix

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
	"github.com/seed-b490fa12/swarm/ops"
)

// The main job with real processes: stats, real shares, logs, a deployment, stop.
func TestMainJob(t *testing.T) {
	p, err := pool.Listen(pool.Config{Difficulty: 0.00002})
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- p.Serve(t.Context()) }()
	t.Cleanup(func() { must(t, <-served) })

	c := newController(t)
	w := startWorker(t, t.TempDir(), "--name", "rig", "--allow", c.id, "--enable", "miner=refpow", "--enable", "deploy")
	if r := swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--label", "gpu=3080", "--state", c.state); r.code != 0 {
		t.Fatalf("peers add: %+v", r)
	}

	r, lines := c.exec("start_miner", "rig-01", "--miner", "refpow", "--threads", "1", "--pool", p.URL())
	if r.code != 0 || len(lines) != 1 || lines[0].Type != "miner_ack" || lines[0].Name != "rig-01" {
		t.Fatalf("start_miner: %+v", r)
	}
	// The same again changes nothing; another pool under the same name is a conflict.
	if r, _ := c.exec("start_miner", "--on", "gpu=3080", "--miner", "refpow", "--threads", "1", "--pool", p.URL()); r.code != 0 {
		t.Errorf("start_miner again: %+v", r)
	}
	if r, lines := c.exec("start_miner", "rig-01", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:1"); r.code != 2 || lines[0].Error.Code != 409 {
		t.Errorf("another pool: %+v", r)
	}
	waitFor(t, "an accepted share in the stats", func() bool {
		_, lines := c.exec("get_stats", "rig-01")
		var s ops.Stats
		must(t, json.Unmarshal(lines[0].Payload, &s))
		return len(s.Workloads) == 1 && s.Workloads[0].SharesAccepted != nil && *s.Workloads[0].SharesAccepted > 0 &&
			s.Workloads[0].HashRate != nil && *s.Workloads[0].HashRate > 0
	})
	if p.Total().Accepted == 0 {
		t.Error("the pool knows of no share")
	}

	// A follow ends when the workload ends.
	followed := make(chan ran, 1)
	go func() {
		r, _ := c.exec("get_logs", "rig-01", "--name", "refpow", "--follow")
		followed <- r
	}()
	waitFor(t, "the follow to be served", func() bool {
		return strings.Contains(swarm(t, "controller", "exec", "get_logs", "rig-01", "--state", c.state, "--mdns=false").stdout, "accepted")
	})
	if r, lines := c.exec("stop_miner", "rig-01", "--name", "refpow"); r.code != 0 || !strings.Contains(string(lines[0].Payload), `"running":false`) {
		t.Errorf("stop_miner: %+v", r)
	}
	if r, _ := c.exec("stop_miner", "rig-01", "--name", "refpow"); r.code != 0 {
		t.Errorf("stop_miner again: %+v", r)
	}
	f := <-followed
	lines = linesOf(t, f.stdout)
	if last := lines[len(lines)-1]; f.code != 0 || !last.Done || !last.OK || len(lines) < 2 || !strings.Contains(f.stdout, "share accepted") {
		t.Errorf("follow: %+v", f)
	}

	bundle := filepath.Join(t.TempDir(), "app")
	must(t, os.MkdirAll(filepath.Join(bundle, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(bundle, "bin", "run"), []byte("#!/bin/true\n"), 0o755))
	for i, state := range []string{"deployed", "unchanged"} {
		r, lines = c.exec("deploy", "rig-01", bundle)
		if r.code != 0 || lines[0].Type != "deploy_ack" || !strings.Contains(string(lines[0].Payload), `"state":"`+state+`"`) {
			t.Errorf("deploy %d: %+v", i+1, r)
		}
	}
	info, err := os.Stat(filepath.Join(w.state, "deploy", "app", "current", "bin", "run"))
	if err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("deployed file: %v, %v", info, err)
	}
}

func TestOwnerDidNotEnable(t *testing.T) {
	c := newController(t)
	w := startWorker(t, t.TempDir(), "--allow", c.id)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	for _, args := range [][]string{
		{"start_miner", w.addr, "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:1"},
		{"deploy", w.addr, file},
	} {
		r, lines := c.exec(args...)
		if r.code != 2 || len(lines) != 1 || lines[0].Error.Code != 422 || !strings.Contains(lines[0].Error.Message, "--enable") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// Unknown name, unreachable and refused: three messages, three exit codes.
func TestFailuresLookDifferent(t *testing.T) {
	c := newController(t)
	w := startWorker(t, t.TempDir(), "--name", "rig-01")
	gone := startWorker(t, t.TempDir())
	gone.stop()
	tests := []struct {
		name, target string
		code, answer int
		words        string
	}{
		{"unknown name", "rig-09", 1, 404, `no machine is named "rig-09"`},
		{"unreachable", gone.addr, 4, 503, "offline"},
		{"refused", w.addr, 5, 403, "not permitted"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r, lines := controller{t, c.state, c.id}.exec("get_stats", tc.target, "--timeout", "5s")
			if r.code != tc.code {
				t.Errorf("exit code %d, want %d: %+v", r.code, tc.code, r)
			}
			if tc.code == 1 && !strings.Contains(r.stderr, tc.words) {
				t.Errorf("got %+v", r)
			}
			if len(lines) != 1 || lines[0].OK || lines[0].Error.Code != tc.answer || !strings.Contains(lines[0].Error.Message, tc.words) {
				t.Errorf("got %+v", r)
			}
		})
	}
	// What a machine calls itself is no name to choose it by.
	if r, _ := c.exec("get_stats", "rig-01"); r.code != 1 {
		t.Errorf("a claimed name: %+v", r)
	}
}

// A worker that is killed while all are asked is reported as offline, in time;
// the others answer.
func TestKilledDuringExecAll(t *testing.T) {
	c := newController(t)
	var workers []*process
	for i := range 3 {
		args := []string{"--name", fmt.Sprint("rig-", i), "--allow", c.id}
		if i > 0 {
			args = append(args, "--bootstrap", workers[0].addr)
		}
		workers = append(workers, startWorker(t, t.TempDir(), args...))
	}
	waitFor(t, "all three to be found through one address", func() bool {
		r, lines := c.exec("get_stats", "--all", "--bootstrap", workers[0].addr, "--wait", "2s")
		return r.code == 0 && len(lines) == 3
	})
	victim := workers[2]
	must(t, victim.cmd.Process.Signal(syscall.SIGSTOP)) // it takes the request and does not answer …
	asked := make(chan ran, 1)
	go func() {
		asked <- swarm(t, "controller", "exec", "get_stats", "--all", "--wait", "0", "--timeout", "20s", "--json", "--mdns=false", "--state", c.state)
	}()
	select {
	case r := <-asked:
		t.Fatalf("ended while a worker was silent: %+v", r)
	case <-time.After(time.Second):
	}
	victim.kill() // … and is gone
	r := <-asked
	lines := linesOf(t, r.stdout)
	if r.code != 3 || len(lines) != 3 || r.took > 20*time.Second {
		t.Fatalf("got %+v", r)
	}
	for _, l := range lines {
		if want := l.Peer != victim.peer; l.OK != want || !want && l.Error.Code != 503 {
			t.Errorf("line %+v", l)
		}
	}
	// From then on it is offline from the start.
	if r, _ := c.exec("get_stats", "--all", "--wait", "0", "--timeout", "5s"); r.code != 3 {
		t.Errorf("afterwards: %+v", r)
	}
}

// A machine that was only found, and may be anybody's, is asked but not
// commanded.
func TestFoundMachinesAreNotCommanded(t *testing.T) {
	c := newController(t)
	mine := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "deploy")
	other := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "deploy", "--bootstrap", mine.addr)
	file := filepath.Join(t.TempDir(), "secret.txt")
	must(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	r, lines := c.exec("deploy", "--all", "--wait", "2s", "--bootstrap", mine.addr, file)
	if r.code != 0 || len(lines) != 1 || lines[0].Peer != mine.peer {
		t.Errorf("deploy: %+v", r)
	}
	if strings.Contains(tree(t, other.state), "secret") {
		t.Error("the found machine got the bundle")
	}
	waitFor(t, "the other to be found and to answer", func() bool {
		_, lines := c.exec("get_stats", "--all", "--wait", "2s", "--bootstrap", mine.addr)
		return len(lines) == 2
	})
	if r, lines := c.exec("deploy", "--all", file); r.code != 0 || len(lines) != 2 {
		t.Errorf("deploy to both, which are saved now: %+v", r)
	}
}

// Results that nobody got are no success.
func TestOutputThatCannotBeWritten(t *testing.T) {
	c := newController(t)
	w := startWorker(t, t.TempDir(), "--allow", c.id)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	for _, format := range []string{"--json", "--json=false"} {
		cmd := exec.Command(program, "controller", "exec", "get_stats", w.addr, "--mdns=false", "--state", c.state, format)
		cmd.Env = environment(t)
		cmd.Stdout = full
		if cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: exit code %d, want 1", format, cmd.ProcessState.ExitCode())
		}
	}
}

// Eight commands at once from one fresh state directory.
func TestEightAtOnce(t *testing.T) {
	state := t.TempDir()
	var ids sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r := swarm(t, "id", "--state", state)
			if r.code != 0 {
				t.Errorf("id: %+v", r)
			}
			ids.Store(strings.TrimSpace(r.stdout), true)
		})
	}
	wg.Wait()
	var all []string
	ids.Range(func(id, _ any) bool { all = append(all, id.(string)); return true })
	if len(all) != 1 {
		t.Fatalf("identities %v, want one", all)
	}
	w := startWorker(t, t.TempDir(), "--allow", all[0])
	for range 8 {
		wg.Go(func() {
			r := swarm(t, "controller", "exec", "get_stats", "--all", "--bootstrap", w.addr, "--wait", "1s", "--json", "--mdns=false", "--state", state)
			if r.code != 0 || strings.Count(r.stdout, "\n") != 1 {
				t.Errorf("exec: %+v", r)
			}
		})
	}
	wg.Wait()
}

// Watches and commands of one controller run side by side: each watch hears
// every worker, also one that was killed and came back.
func TestWatchBesideCommands(t *testing.T) {
	c := newController(t)
	args := []string{"--allow", c.id, "--stats-every", "500ms"}
	first := startWorker(t, t.TempDir(), append(args, "--name", "rig-0")...)
	args = append(args, "--bootstrap", first.addr)
	second := startWorker(t, t.TempDir(), append(args, "--name", "rig-1")...)
	for _, w := range []*process{first, second} {
		if r, _ := c.exec("get_stats", w.addr); r.code != 0 {
			t.Fatalf("get_stats: %+v", r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watches := []*buffer{watch(ctx, t, c), watch(ctx, t, c)}
	for range 5 {
		if r, lines := c.exec("get_stats", "--all", "--wait", "0"); r.code != 0 || len(lines) != 2 {
			t.Errorf("get_stats beside watches: %+v", r)
		}
	}
	heard := func(names ...string) {
		t.Helper()
		for i, w := range watches {
			for _, name := range names {
				waitFor(t, fmt.Sprintf("watch %d to hear %s", i+1, name), func() bool {
					return strings.Contains(w.String(), `"name":"`+name+`","type":"stats"`)
				})
			}
		}
	}
	heard("rig-0", "rig-1")
	second.kill()
	back := startWorker(t, second.state, append(args, "--name", "rig-back")...) // at another port
	if back.peer != second.peer {
		t.Errorf("the worker came back as %s, was %s", back.peer, second.peer)
	}
	heard("rig-back")
}

// watch runs "swarm controller watch" until ctx ends, and returns its output.
func watch(ctx context.Context, t *testing.T, c controller) *buffer {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, "controller", "watch", "--json", "--mdns=false", "--state", c.state, "--log-level", "debug")
	cmd.Env = environment(t)
	said := new(buffer)
	cmd.Stderr = said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out := new(buffer)
	cmd.Stdout = out
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Wait()
		if t.Failed() {
			t.Logf("watch printed\n%s\nand said\n%s", out, said)
		}
	})
	return out
}

// A worker that is idle stays small.
func TestIdleWorkerIsSmall(t *testing.T) {
	w := startWorker(t, t.TempDir())
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc to read the memory of a process from")
	}
	var kib int
	for text := range strings.Lines(string(status)) {
		fmt.Sscanf(text, "VmRSS: %d kB", &kib)
	}
	if kib == 0 || kib > 60<<10 {
		t.Errorf("the idle worker takes %d KiB, want 60 MiB at most", kib)
	}
	t.Logf("idle: %d KiB", kib)
}
