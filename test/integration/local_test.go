//go:build linux

package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
)

// servePool runs a pool until the test ends.
func servePool(t *testing.T) *pool.Pool {
	t.Helper()
	p, err := pool.Listen(pool.Config{Difficulty: 0.00002})
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- p.Serve(t.Context()) }()
	t.Cleanup(func() { must(t, <-served) })
	return p
}

// childOf returns a child process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	child := 0
	waitFor(t, "a child process", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		must(t, err)
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, path := range threads {
			if more, err := os.ReadFile(path); err == nil {
				text = append(text, more...)
			}
		}
		_, err = fmt.Sscan(string(text), &child)
		return err == nil
	})
	return child
}

// The one who reads the log is gone, and a file descriptor was inherited: the worker goes on, and its miner has none of that.
func TestWorkerOutlivesItsReader(t *testing.T) {
	p := servePool(t)
	c := newController(t)
	state := t.TempDir()
	logs, logsIn, err := os.Pipe()
	must(t, err)
	secret, secretIn, err := os.Pipe()
	must(t, err)
	defer secret.Close()
	w := &process{t: t, state: state, log: new(buffer)}
	w.cmd = exec.Command(program, "worker", "--state", state, "--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false", "--json", "--name", "rig",
		"--allow", c.id, "--enable", "miner=refpow", "--log-level", "debug")
	w.cmd.Env = environment(t)
	w.cmd.Stderr = logsIn
	w.cmd.ExtraFiles = []*os.File{secretIn} // 3
	out, err := w.cmd.StdoutPipe()
	must(t, err)
	must(t, w.cmd.Start())
	t.Cleanup(w.stop)
	must(t, errors.Join(logsIn.Close(), secretIn.Close()))
	line := make([]byte, 4096)
	n, err := out.Read(line)
	must(t, err)
	ready := struct{ Addrs []string }{}
	mustLine(t, ran{stdout: string(line[:n])}, &ready)
	must(t, logs.Close()) // the reader goes: each line of the log is a broken pipe now
	mustRun(t, swarm(t, "peers", "add", ready.Addrs[0], "--name", "rig-01", "--state", c.state))

	r, _ := c.exec("start_miner", "rig-01", "--miner", "refpow", "--threads", "1", "--pool", p.URL())
	mustRun(t, r)
	child := childOf(t, w.cmd.Process.Pid)
	inherited, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", w.cmd.Process.Pid))
	must(t, err)
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", child))
	must(t, err)
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && to == inherited {
			t.Errorf("the miner has %s open, which the worker inherited", to)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
	must(t, err)
	_, ignored, _ := strings.Cut(string(status), "SigIgn:")
	if mask := strings.Fields(ignored)[0]; mask[len(mask)-4]&1 == 1 { // bit 12: SIGPIPE is 13
		t.Errorf("the miner ignores SIGPIPE: %s", mask)
	}
	mustRun(t, func() ran { r, _ := c.exec("stop_miner", "rig-01", "--name", "refpow"); return r }())
	r, _ = c.exec("get_stats", "rig-01")
	mustRun(t, r)
	go io.Copy(io.Discard, out)
}

// A command that is read no more ends as the shell expects.
func TestCommandsEndWithTheirReader(t *testing.T) {
	c := newController(t)
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	cmd := exec.CommandContext(t.Context(), program, "id", "--state", c.state)
	cmd.Env = environment(t)
	cmd.Stdout = w
	err = cmd.Run()
	must(t, w.Close())
	if err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("got %v, want the signal", err)
	}
}

// A configuration file that others can write is not read, and the next step is named.
func TestUnsafeFiles(t *testing.T) {
	c := newController(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(config, []byte("log-level: info\n"), 0o600))
	mustRun(t, swarm(t, "id", "--state", c.state, "--config", config))
	must(t, os.Chmod(config, 0o666))
	if r := swarm(t, "id", "--state", c.state, "--config", config); r.code != 1 || !strings.Contains(r.stderr, config) || !strings.Contains(r.stderr, "chmod") {
		t.Errorf("%+v", r)
	}
	must(t, os.Chmod(c.state, 0o770))
	if r := swarm(t, "id", "--state", c.state); r.code != 1 || !strings.Contains(r.stderr, c.state) || !strings.Contains(r.stderr, "chmod") {
		t.Errorf("%+v", r)
	}
	must(t, os.Chmod(c.state, 0o700))
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give a directory away")
	}
	must(t, os.Chown(c.state, 65534, -1))
	if r := swarm(t, "id", "--state", c.state); r.code != 1 || !strings.Contains(r.stderr, "chown") {
		t.Errorf("%+v", r)
	}
}
