//go:build unix

package integration

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// startServe runs "swarm controller serve" until the test ends.
func startServe(t *testing.T, c controller) *process {
	t.Helper()
	p := &process{t: t, state: c.state, log: new(buffer)}
	p.cmd = exec.Command(program, "controller", "serve", "--json", "--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0", "--state", c.state)
	p.cmd.Env = environment(t)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready event
	if err != nil || json.Unmarshal(line, &ready, json.MatchCaseInsensitiveNames(true)) != nil || ready.Event != "ready" || len(ready.Addrs) == 0 {
		t.Fatalf("serve was not ready: %s %v\n%s", line, err, p.log)
	}
	p.peer, p.addr = ready.Peer, ready.Addrs[0]
	return p
}

// Commands beside a controller that serves go through it: calls, feeds,
// uploads, watches, and what goes wrong, as they do without it.
func TestCommandsThroughServe(t *testing.T) {
	c := newController(t)
	w := startWorker(t, t.TempDir(), "--allow", c.id, "--enable", "deploy", "--stats-every", "300ms")
	if r := swarm(t, "peers", "add", w.addr, "--name", "rig-01", "--state", c.state); r.code != 0 {
		t.Fatalf("peers add: %+v", r)
	}
	serve := startServe(t, c)
	socket := filepath.Join(c.state, "serve.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if r := swarm(t, "controller", "serve", "--state", c.state); r.code != 1 || !strings.Contains(r.stderr, "serves") {
		t.Errorf("a second serve: %+v", r)
	}

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := swarm(t, "controller", "exec", "get_stats", "rig-01", "--json", "--state", c.state); r.code != 0 || !strings.Contains(r.stdout, `"type":"stats"`) {
				t.Errorf("get_stats: %+v", r)
			}
		})
	}
	wg.Wait()
	// A name given while it serves is known at once.
	if r := swarm(t, "peers", "add", w.peer, "--name", "rig-new", "--state", c.state); r.code != 0 {
		t.Errorf("rename: %+v", r)
	}
	file := filepath.Join(t.TempDir(), "hello.txt")
	must(t, os.WriteFile(file, []byte("hello\n"), 0o600))
	if r, lines := c.exec("deploy", "rig-new", file); r.code != 0 || lines[0].Name != "rig-new" || lines[0].Type != "deploy_ack" {
		t.Errorf("deploy: %+v", r)
	}
	if r, lines := c.exec("start_miner", "--all", "--wait", "0", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:1"); r.code != 2 || lines[0].Error.Code != 422 {
		t.Errorf("not enabled: %+v", r)
	}
	if r, _ := c.exec("get_stats", "rig-01"); r.code != 1 || !strings.Contains(r.stderr, "no machine is named") {
		t.Errorf("unknown name: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, heard := range []*buffer{watch(ctx, t, c), watch(ctx, t, c)} {
		waitFor(t, "the watch to hear the worker", func() bool { return strings.Contains(heard.String(), `"name":"rig-new","type":"stats"`) })
	}
	cancel()
	w.stop()
	if r, lines := c.exec("get_stats", "rig-new", "--timeout", "5s"); r.code != 4 || lines[0].Error.Code != 503 {
		t.Errorf("offline: %+v", r)
	}
	if r, _ := c.exec("deploy", "rig-new", file, "--timeout", "5s"); r.code != 4 {
		t.Errorf("deploy to an offline machine: %+v", r)
	}

	// Killed, it leaves a socket that nobody answers at: that is in nobody's way.
	serve.kill()
	if r, _ := c.exec("get_stats", "rig-new", "--timeout", "5s"); r.code != 4 {
		t.Errorf("after kill -9 of serve: %+v", r)
	}
	startServe(t, c).stop()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket stays behind")
	}
}

// The socket is for its own user.
func TestServeRefusesOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	c := newController(t)
	startServe(t, c)
	// Even where the modes of the directories would let them in.
	socket := filepath.Join(c.state, "serve.sock")
	for dir := c.state; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	must(t, os.Chmod(socket, 0o666))
	program := copyProgram(t)
	cmd := exec.Command(program, "controller", "exec", "get_stats", "--all", "--wait", "0", "--state", c.state)
	cmd.Env = environment(t)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("another user got %s, %v", out, err)
	}
	if strings.Contains(string(out), "no machine is known") {
		t.Errorf("another user was served: %s", out)
	}
}

// copyProgram makes the program readable for every user.
func copyProgram(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "swarm-program-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(program)
	must(t, err)
	path := filepath.Join(dir, "swarm")
	must(t, os.WriteFile(path, text, 0o755))
	return path
}
