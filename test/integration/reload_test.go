package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	runs "github.com/seed-b490fa12/swarm/internal/running"
)

// At SIGHUP a worker takes over what can change while it runs, and says what cannot.
func TestSettingsAreReadAgain(t *testing.T) {
	first, second := newController(t), newController(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	write := func(format string, args ...any) {
		must(t, os.WriteFile(config, fmt.Appendf(nil, format, args...), 0o600))
	}
	write("allow: [%s]\nstats-every: 1h\n", first.id)
	w := startWorker(t, t.TempDir(), "--config", config)
	told := func(words string) {
		t.Helper()
		waitFor(t, words, func() bool { return strings.Contains(w.log.String(), words) })
	}
	may := func(c controller) bool {
		r, _ := c.exec("start_miner", w.addr, "--miner", "refpow")
		return !strings.Contains(r.stdout, "not permitted") && strings.Contains(r.stdout, "in the owner's list")
	}
	if !may(first) || may(second) {
		t.Fatal("the worker obeys others than it was told at its start")
	}

	write("allow: [%s]\nenable: [miner=refpow]\nstats-every: 200ms\nlog-level: debug\nrelay: true\nname: other\n", second.id)
	must(t, w.cmd.Process.Signal(syscall.SIGHUP))
	told("the settings were read again")
	told("[allow enable log-level stats-every]")
	told("these settings have changed and need a restart")
	told("[name relay]")
	if r, _ := first.exec("get_stats", w.addr); r.code != 5 {
		t.Errorf("who is not on the list any more: %+v", r)
	}
	if r, _ := second.exec("start_miner", w.addr, "--miner", "refpow"); strings.Contains(r.stdout, "owner's list") || strings.Contains(r.stdout, "not permitted") {
		t.Errorf("who is on the list now, and what may run now: %+v", r)
	}
	watch := second.start("controller", "watch", w.addr, "--mdns=false")
	for range 3 { // the first comes to whoever begins to listen
		select {
		case <-watch.events:
		case <-time.After(30 * time.Second):
			t.Fatal("stats are not pushed more often")
		}
	}
	watch.stop()

	write("allow: [%s]\nenable: [minr=refpow]\n", second.id)
	must(t, w.cmd.Process.Signal(syscall.SIGHUP))
	told(`--enable stays as it was`)
	write("alow: [%s]\n", second.id)
	must(t, w.cmd.Process.Signal(syscall.SIGHUP))
	told("the settings stay as they were")
	if r, _ := second.exec("get_stats", w.addr); r.code != 0 {
		t.Errorf("after a file that is wrong: %+v", r)
	}
}

// The worker's own log is read from afar by who has the right to it, which those do not have who may read
// all else, and on the machine by who runs it.
func TestAgentLogs(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	viewer := f.letInController("friend", "--verbs", "*.read")
	r := f.swarm("logs", "rig-01", "--agent", "--mdns=false")
	if r.code != 0 || !strings.Contains(r.stdout, "level=INFO msg=") {
		t.Errorf("%+v", r)
	}
	r = swarm(t, append(viewer.at(g), "logs", "rig-01", "--agent", "--mdns=false", "--state", viewer.state)...)
	if r.code != 5 || !strings.Contains(r.stderr, "agent.logs") || r.stdout != "" {
		t.Errorf("a viewer: %+v", r)
	}
	mustRun(t, f.swarm("grant", "friend", "--verbs", "agent.logs", "--mdns=false"))
	waitFor(t, "the right to count", func() bool {
		r = swarm(t, append(viewer.at(g), "logs", "rig-01", "--agent", "--lines", "1", "--mdns=false", "--state", viewer.state)...)
		return r.code == 0
	})
	if strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("one line was asked for: %+v", r)
	}
	if r := auditOf(t, g.state); !strings.Contains(r.stdout, "agent lines=0") {
		t.Errorf("reading it is not on record: %+v", r)
	}
	for range 2 { // while the worker runs, and after it
		r = swarm(t, "logs", "--agent", "--state", g.state)
		if r.code != 0 || !strings.Contains(r.stdout, "level=INFO msg=") {
			t.Errorf("on the machine: %+v", r)
		}
		r = swarm(t, "logs", "--agent", "--state", g.state, "--json")
		if r.code != 0 || !strings.Contains(r.stdout, `"type":"logs"`) {
			t.Errorf("on the machine: %+v", r)
		}
		g.stop()
	}
	if r := swarm(t, "logs", "--agent", "--state", t.TempDir()); r.code != 1 || !strings.Contains(r.stderr, "no worker has run") {
		t.Errorf("where there is no worker: %+v", r)
	}
}

// The service of a machine that has left its fleet ends well and stays stopped, and so it does when it is
// started again: systemd starts anew what has failed.
func TestServiceStaysStoppedAfterLeave(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	g.stop()
	asService := func() *ongoing {
		r := &ongoing{t: t, cmd: exec.Command(program, "worker", "--state", g.state, "--listen", anyPort, "--mdns=false"), events: make(chan event, 64), log: new(buffer)}
		r.cmd.Env = append(environment(t), "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "none"))
		r.run()
		return r
	}
	ended := func(r *ongoing, why string) {
		t.Helper()
		waitFor(t, "the service to end", func() bool {
			select {
			case _, more := <-r.events:
				return !more
			default:
				return false
			}
		})
		r.stop()
		if code := r.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(r.log.String(), why) {
			t.Errorf("exit code %d: %s", code, r.log)
		}
	}
	r := asService()
	waitFor(t, "the worker", func() bool { p, ok := runs.Look(g.state); return ok && p.PID == r.cmd.Process.Pid })
	mustRun(t, swarm(t, "leave", "--yes", "--state", g.state))
	ended(r, "left its fleet")
	ended(asService(), "nobody may command this machine")
}
