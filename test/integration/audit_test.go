package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// auditOf reads the record of a worker on its own machine.
func auditOf(t *testing.T, state string, args ...string) ran {
	t.Helper()
	return swarm(t, append([]string{"audit", "--state", state, "--json"}, args...)...)
}

// The owner's policy binds whoever asks, names its rule, and is read again at SIGHUP.
func TestPolicy(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	path := filepath.Join(g.state, "policy.json")
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, g.cmd.Process.Signal(syscall.SIGHUP))
	}
	start := func(args ...string) (int, string) {
		t.Helper()
		r, lines := f.exec(append([]string{"start_miner", "rig-01", "--miner", "refpow"}, args...)...)
		if len(lines) != 1 {
			t.Fatalf("%+v", r)
		}
		return lines[0].Error.Code, lines[0].Error.Message
	}
	write(`{"drivers":[],"miners":["refpow"],"pools":["pool.example:3333"],"wallets":["mine"],"deploy":{"enabled":false,"maxBytes":0,"names":[]},"run":false,"caps":{"threads":1,"cpuPercent":0,"memoryBytes":0}}`)
	waitFor(t, "the policy to be read", func() bool { return strings.Contains(auditOf(t, g.state).stdout, "pool.example:3333") })
	for _, tc := range []struct {
		name string
		args []string
		rule string
	}{
		{"pool", []string{"--pool", "stratum+tcp://thief.example:3333", "--wallet", "mine"}, "policy.json: pools"},
		{"wallet", []string{"--pool", "stratum+tcp://pool.example:3333", "--wallet", "thief"}, "policy.json: wallets"},
		{"no pool", []string{"--wallet", "mine"}, "policy.json: pools"},
		{"raw settings", []string{"--pool", "stratum+tcp://pool.example:3333", "--wallet", "mine", "--payload", `{"miner":"refpow","pool":"stratum+tcp://pool.example:3333","wallet":"mine","config":{"pool":"x"}}`}, "policy.json: pools"},
		{"threads", []string{"--pool", "stratum+tcp://pool.example:3333", "--wallet", "mine", "--threads", "2"}, "policy.json: caps.threads"},
	} {
		if tc.name == "raw settings" {
			tc.args = tc.args[4:]
		}
		if code, words := start(tc.args...); code != 422 || !strings.Contains(words, tc.rule) {
			t.Errorf("%s: %d %s", tc.name, code, words)
		}
	}
	if _, lines := f.exec("start_miner", "rig-01", "--miner", "xmrig"); lines[0].Error.Code != 422 || !strings.Contains(lines[0].Error.Message, "policy.json: miners") {
		t.Errorf("miner: %+v", lines[0])
	}
	bundle := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bundle, "app"), []byte("x"), 0o700))
	if _, lines := f.exec("deploy", "rig-01", bundle); lines[0].Error.Code != 422 || !strings.Contains(lines[0].Error.Message, "policy.json: deploy.enabled") {
		t.Errorf("deploy: %+v", lines[0])
	}

	write(`{"miners":`)
	waitFor(t, "the broken file to be told", func() bool { return strings.Contains(g.log.String(), "policy stays as it was") })
	if code, words := start("--pool", "stratum+tcp://thief.example:3333", "--wallet", "mine"); code != 422 {
		t.Errorf("with a broken file: %d %s", code, words)
	}
	mustRun(t, f.swarm("controller", "exec", "get_stats", "rig-01", "--mdns=false"))

	// Who else may write the file could allow himself anything.
	must(t, os.Chmod(path, 0o666))
	g.kill()
	r := swarm(t, "worker", "--state", g.state, "--listen", anyPort, "--mdns=false")
	if r.code != 1 || !strings.Contains(r.stderr, "policy.json") {
		t.Errorf("a file that everybody may write: %+v", r)
	}
	must(t, os.Chmod(path, 0o600))
}

// A command is on the disk before its effect: it is there after a kill in the
// middle of it, and the chain holds.
func TestAuditSurvivesKill(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	bundle := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bundle, "big"), bytes.Repeat([]byte("0123456789abcdef"), 24<<20/16), 0o600))
	deploy := f.start("controller", "exec", "deploy", "rig-01", bundle, "--mdns=false", "--timeout", "5s")
	waitFor(t, "the deployment to begin", func() bool { return strings.Contains(auditOf(t, g.state).stdout, `"type":"deploy"`) })
	g.kill()
	deploy.stop()
	if r := auditOf(t, g.state, "--verify"); r.code != 0 || !strings.Contains(r.stdout, `"result":"begun"`) || !strings.Contains(r.stdout, `"intact":true`) {
		t.Errorf("after the kill: %+v", r)
	}
	g.run(t)
	if r := f.swarm("audit", "rig-01", "--verify", "--json", "--mdns=false"); r.code != 0 || !strings.Contains(r.stdout, `"type":"deploy"`) || !strings.Contains(r.stdout, `"name":"laptop"`) {
		t.Errorf("from afar: %+v", r)
	}
}

// A controller remembers how far a machine's record went, and tells when it is
// shorter, changed or begun anew.
func TestAuditCannotBeCut(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	for i := range 3 {
		f.exec("stop_miner", "rig-01", "--payload", fmt.Sprintf(`{"name":"nope%d"}`, i))
	}
	audit := func(args ...string) ran {
		return f.swarm(append([]string{"audit", "rig-01", "--mdns=false"}, args...)...)
	}
	if r := audit("--verify"); r.code != 0 || !strings.Contains(r.stdout, "nope1") || !strings.Contains(r.stdout, "the record is whole") {
		t.Fatalf("%+v", r)
	}
	g.stop()
	dir := filepath.Join(g.state, "audit")
	saved := filepath.Join(t.TempDir(), "audit")
	must(t, os.CopyFS(saved, os.DirFS(dir)))
	for _, tc := range []struct {
		name   string
		damage func(segment string)
	}{
		{"its end was cut off", func(segment string) {
			data, err := os.ReadFile(segment)
			must(t, err)
			lines := bytes.SplitAfter(data, []byte("\n"))
			must(t, os.WriteFile(segment, bytes.Join(lines[:4], nil), 0o600))
		}},
		{"a line was changed", func(segment string) {
			data, err := os.ReadFile(segment)
			must(t, err)
			must(t, os.WriteFile(segment, bytes.Replace(data, []byte("nope1"), []byte("nope9"), 1), 0o600))
		}},
		{"it was begun anew", func(segment string) { must(t, os.Remove(segment)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, os.RemoveAll(dir))
			must(t, os.CopyFS(dir, os.DirFS(saved)))
			must(t, os.Chmod(dir, 0o700))
			segments, err := filepath.Glob(filepath.Join(dir, "*.audit"))
			must(t, err)
			if len(segments) != 1 {
				t.Fatalf("segments %v", segments)
			}
			tc.damage(segments[0])
			g.run(t)
			defer g.stop()
			if r := audit("--verify"); r.code != 2 || !strings.Contains(r.stdout, "DOES NOT HOLD") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Without a record nothing is done; reading goes on.
func TestAuditCannotBeWritten(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	g.stop()
	dir := filepath.Join(g.state, "audit")
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600)) // root could write any directory
	g.run(t)
	if r, lines := f.exec("stop_miner", "rig-01", "--payload", `{"name":"x"}`); lines[0].Error.Code != 503 || !strings.Contains(lines[0].Error.Message, "could not be recorded") {
		t.Errorf("%+v", r)
	}
	if r, _ := f.exec("get_stats", "rig-01"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(g.log.String(), "audit log cannot be written") {
		t.Errorf("the worker does not say so: %s", g.log)
	}
}

// Secrets do not show: not in a command line that others can read, not in a log,
// not in the record.
func TestCanaries(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	var canaries []string
	canary := func() string {
		c := fmt.Sprintf("canary%dx%d", len(canaries), time.Now().UnixNano())
		canaries = append(canaries, c)
		return c
	}
	serve := f.start("controller", "serve", "--listen", anyPort, "--mdns=false", "--log-level", "debug")
	serve.next("ready")
	logs := []*buffer{g.log, serve.log}
	for range 12 {
		args := []string{"--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9", "--wallet", canary(), "--password", canary()}
		f.exec(append([]string{"start_miner", "rig-01", "--name", "w"}, args...)...)
		f.exec("start_miner", "rig-01", "--payload", fmt.Sprintf(`{"miner":"refpow","name":"w2","pool":"stratum+tcp://127.0.0.1:9","password":%q,"config":{"secret":%q}}`, canary(), canary()))
		f.exec("stop_miner", "rig-01", "--payload", `{"name":"w"}`)
	}
	f.exec("start_miner", "rig-01", "--name", "w", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9", "--password", canary())
	// Tickets, used and unused, good and bad.
	var tickets []string
	for i := range 4 {
		var inv event
		mustLine(t, f.swarm("invite", fmt.Sprintf("rig-1%d", i), "--json", "--log-level", "debug"), &inv)
		tickets = append(tickets, inv.Ticket)
		r := join(t, t.TempDir(), inv.Ticket, "--listen", anyPort, "--log-level", "debug")
		b := new(buffer)
		b.Write([]byte(r.stderr + r.stdout))
		logs = append(logs, b)
	}
	for _, ticket := range tickets {
		canaries = append(canaries, ticket[20:60], ticket[len(ticket)-40:])
	}
	if len(canaries) < 50 {
		t.Fatalf("%d canaries", len(canaries))
	}
	found := func(where, text string) {
		for i, c := range canaries {
			if strings.Contains(text, c) {
				t.Errorf("canary %d is in %s", i, where)
			}
		}
	}
	for _, l := range logs {
		found("a log", l.String())
	}
	for _, dir := range []string{filepath.Join(g.state, "audit"), filepath.Join(f.state, "fleet"), filepath.Join(g.state, "fleet"), filepath.Join(g.state, "ops", "logs")} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				data, _ := os.ReadFile(path)
				found(path, string(data))
			}
			return nil
		})
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range lines {
		data, _ := os.ReadFile(path)
		found(path, string(data))
	}
}
