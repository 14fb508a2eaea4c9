//go:build unix

package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwins: the state of a worker is copied, and both run. The controller that serves sees two boots that answer; both are told,
// everything says so, and what has an effect is held. A second "serve" by mistake is no second machine.
func TestTwins(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	serve := startServe(t, f.controller)
	start := []string{"start_miner", "rig-01", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:1"}
	if r, lines := f.exec(start...); r.code != 0 {
		t.Fatalf("one machine: %+v %+v", r, lines)
	}
	if r := f.swarm("controller", "serve"); r.code != 1 || !strings.Contains(r.stderr, "serves") {
		t.Errorf("a second serve: %+v", r)
	}
	events := f.start("events")
	twin := &rig{name: "copy", state: filepath.Join(t.TempDir(), "copy"), listen: freeAddr(t), args: []string{"--bootstrap", serve.addr}}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", g.state, twin.state).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	twin.run(t)
	if e := events.next("twin"); e.Peer != g.peer || e.Name != "rig-01" {
		t.Errorf("event %+v", e)
	}
	waitFor(t, "both know", func() bool {
		return strings.Contains(g.log.String(), "another machine runs with this identity") &&
			strings.Contains(twin.log.String(), "another machine runs with this identity")
	})
	const out = "swarm leave, delete identity.pem, join again with a new ticket"
	for _, args := range [][]string{{"stop_miner", "rig-01", "--name", "refpow"}, start, {"deploy", "rig-01", g.state + "/identity.pem"}} {
		r, lines := f.exec(args...)
		if r.code != 2 || len(lines) != 1 || lines[0].Error.Code != 409 || !strings.HasPrefix(lines[0].Error.Message, "held: ") || !strings.Contains(lines[0].Error.Message, out) {
			t.Errorf("%s: %+v", args[0], r)
		}
	}
	if r, _ := f.exec("get_stats", "rig-01"); r.code != 0 {
		t.Errorf("what has no effect: %+v", r)
	}
	for name, args := range map[string][]string{"peers": {"peers"}, "peers --json": {"peers", "--json"}} {
		if r := f.swarm(args...); !strings.Contains(r.stdout+r.stderr, "two machines run with this identity") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := f.swarm("doctor", "rig-01", "--mdns=false"); r.code != 2 || !strings.Contains(r.stdout, "TWO MACHINES have the identity of rig-01") {
		t.Errorf("doctor: %+v", r)
	}
	for _, w := range []*rig{g, twin} {
		waitFor(t, w.name+": status", func() bool {
			return strings.Contains(swarm(t, "status", "--state", w.state).stdout, "WARNING      two machines")
		})
	}
	// A command without the one that serves hears it from the machine itself.
	serve.stop()
	if r, lines := f.exec(append(start, "--bootstrap", g.addr)...); r.code != 2 || lines[0].Error.Code != 409 {
		t.Errorf("without serve: %+v", r)
	}
	twin.stop()
	if r := swarm(t, "status", "--state", twin.state); strings.Contains(r.stdout, "WARNING      two machines") {
		t.Errorf("status of one that has ended: %+v", r)
	}
}
