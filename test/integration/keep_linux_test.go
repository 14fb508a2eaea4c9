package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
)

// listed is a workload of list_workloads.
type listed struct {
	Name, State string
	Restarts    int
	PID         int
}

// TestWorkloadsOutliveTheWorker: a workload goes on when the worker is killed, is stopped as by systemd,
// or is another build of the program; its log has each line once. A worker that is interrupted at its
// terminal takes its workloads with it.
func TestWorkloadsOutliveTheWorker(t *testing.T) {
	c, state := newController(t), t.TempDir()
	other := filepath.Join(t.TempDir(), "swarm")
	b, err := os.ReadFile(program)
	must(t, errors.Join(err, os.WriteFile(other, b, 0o700)))
	args := []string{"--name", "rig", "--allow", c.id, "--enable", "workload", "--keep-workloads"}
	w := startWorker(t, state, args...)
	exec := func(operation string, more ...string) ran {
		t.Helper()
		r := swarm(t, append([]string{"controller", "exec", operation, w.addr, "--state", c.state, "--mdns=false", "--json"}, more...)...)
		if r.code != 0 {
			t.Fatalf("%s: %+v\n%s", operation, r, w.log)
		}
		return r
	}
	list := func() listed {
		t.Helper()
		var answer struct{ Payload struct{ Workloads []listed } }
		must(t, json.Unmarshal([]byte(exec("list_workloads").stdout), &answer, json.MatchCaseInsensitiveNames(true)))
		if len(answer.Payload.Workloads) != 1 {
			t.Fatalf("workloads are %+v", answer.Payload.Workloads)
		}
		return answer.Payload.Workloads[0]
	}
	exec("start_workload", "--name", "counter", "--", "sh", "-c", `i=0; while :; do echo "count $i"; i=$((i+1)); sleep 0.02; done`)
	first := list()
	t.Cleanup(func() { syscall.Kill(first.PID, syscall.SIGKILL) }) // where the test failed on the way
	for i, end := range []func(){w.kill, func() { w.stop() }, func() { w.kill() }} {
		if i == 2 { // the program is replaced under what runs
			must(t, os.Rename(other, program))
		}
		end()
		if err := syscall.Kill(first.PID, 0); err != nil {
			t.Fatalf("end %d: the workload is gone: %v", i, err)
		}
		w = startWorker(t, state, args...)
		if now := list(); now != first {
			t.Fatalf("after end %d it is %+v, and was %+v", i, now, first)
		}
	}
	var lines []string
	for line := range strings.Lines(exec("get_logs", "--name", "counter", "--lines", "10000").stdout) {
		var l struct {
			Payload struct{ Lines []struct{ Text string } }
		}
		must(t, json.Unmarshal([]byte(line), &l, json.MatchCaseInsensitiveNames(true)))
		for _, one := range l.Payload.Lines {
			lines = append(lines, one.Text)
		}
	}
	for i, line := range lines {
		if line != fmt.Sprintf("count %d", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if len(lines) < 20 {
		t.Errorf("%d lines", len(lines))
	}
	w.once.Do(func() {
		must(t, w.cmd.Process.Signal(os.Interrupt))
		w.cmd.Wait()
	})
	if code := w.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("an interrupted worker ended with %d", code)
	}
	if err := syscall.Kill(first.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Ctrl-C the workload is there: %v", err)
	}
}
