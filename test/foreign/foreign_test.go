//go:build slow

package foreign_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	seed     = "0101010101010101010101010101010101010101010101010101010101010101"
	stranger = "0202020202020202020202020202020202020202020202020202020202020202"
	worker   = "0303030303030303030303030303030303030303030303030303030303030303"
)

// step is one line that the client prints.
type step struct {
	Step   string
	Worker string
	OK     bool
	Answer struct {
		Version  string
		Role     string
		Accepted bool
	}
	Payload struct{ Node string }
	Error   struct{ Code int }
}

// TestForeign needs node (20 or later) and npm, which gets the packages of
// package-lock.json into a temporary directory.
func TestForeign(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir, swarm := install(ctx, t), build(ctx, t)
	t.Run("vectors", func(t *testing.T) { tryVectors(ctx, t, dir) })
	t.Run("client", func(t *testing.T) { tryClient(ctx, t, dir, swarm) })
	t.Run("worker", func(t *testing.T) { tryWorker(ctx, t, dir, swarm) })
}

// tryVectors runs the test vectors by the other implementation.
func tryVectors(ctx context.Context, t *testing.T, dir string) {
	vectors, err := filepath.Abs(filepath.Join("..", "..", "streams", "testdata", "vectors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", execute(ctx, t, dir, "node", "vectors.mjs", vectors))
}

// tryWorker commands a worker in the other language with our controller.
func tryWorker(ctx context.Context, t *testing.T, dir, swarm string) {
	cmd := exec.CommandContext(ctx, "node", "worker.mjs", worker)
	cmd.Dir = dir
	addr := strings.TrimSpace(string(firstLine(t, cmd)))
	state := t.TempDir()
	for _, tc := range []struct {
		operation, more string
		exit            int
	}{
		{"get_stats", `"type":"stats"`, 0},
		{"start_miner", `"code":403`, 5},
		{"get_logs", `"code":501`, 2},
	} {
		args := []string{"--state", state, "--json", "controller", "exec", tc.operation, addr}
		if tc.operation == "start_miner" {
			args = append(args, "--payload", `{"miner":"refpow"}`)
		}
		cmd := exec.CommandContext(ctx, swarm, args...)
		out, err := cmd.Output()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != tc.exit || !bytes.Contains(out, []byte(tc.more)) {
			t.Errorf("%s: %v, want exit code %d and %s:\n%s", tc.operation, err, tc.exit, tc.more, out)
		}
	}
}

// tryClient runs the client in the other language against our worker.
func tryClient(ctx context.Context, t *testing.T, dir, swarm string) {
	id := strings.TrimSpace(string(execute(ctx, t, dir, "node", "client.mjs", "id", seed)))
	addrs := startWorker(t, swarm, id)
	args := append([]string{"--experimental-websocket", "client.mjs", "run", seed, stranger}, addrs...)
	out := execute(ctx, t, dir, "node", args...)

	var got []step
	for line := range bytes.Lines(out) {
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		got = append(got, s)
	}
	if len(got) != 12*len(addrs)+1 || !got[len(got)-1].OK {
		t.Fatalf("the client did not come to its end:\n%s", out)
	}
	for i := range addrs {
		checkRun(t, got[12*i:12*(i+1)])
	}
}

// checkRun checks what the client saw at one address.
func checkRun(t *testing.T, got []step) {
	t.Helper()
	worker := got[0].Worker
	codes := map[string]int{"unknown type": 501, "logs of none": 404, "stranger": 403, "stranger forges": 401}
	for _, s := range got {
		switch s.Step {
		case "handshake":
			if !s.Answer.Accepted || s.Answer.Version != "1.0.0" || s.Answer.Role != "worker" {
				t.Errorf("handshake of a member: %+v", s.Answer)
			}
		case "stranger handshake":
			if !s.Answer.Accepted || s.Answer.Role != "" {
				t.Errorf("handshake of a stranger: %+v", s.Answer)
			}
		case "get_stats", "get_stats again", "pushed":
			if s.Payload.Node != worker {
				t.Errorf("%s: stats of %q, want %q", s.Step, s.Payload.Node, worker)
			}
		}
		if want := codes[s.Step]; s.Error.Code != want {
			t.Errorf("%s: got code %d, want %d", s.Step, s.Error.Code, want)
		}
	}
}

// install copies the client to a directory of its own and gets its packages.
func install(ctx context.Context, t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "package.json", "package-lock.json") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if f == "package-lock.json" && bytes.Contains(b, []byte(`"resolved"`)) {
			t.Error("package-lock.json names a registry: remove its \"resolved\" members")
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	execute(ctx, t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	return dir
}

// execute runs a program to its end and returns what it wrote to standard output.
func execute(ctx context.Context, t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// build returns the path of the swarm binary.
func build(ctx context.Context, t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "swarm")
	execute(ctx, t, ".", "go", "build", "-o", bin, "github.com/seed-b490fa12/swarm/cmd/swarm")
	return bin
}

// startWorker starts the real worker, which the peer may command, and returns
// its addresses: TCP and WebSocket.
func startWorker(t *testing.T, swarm, allow string) []string {
	t.Helper()
	cmd := exec.Command(swarm, "worker", "--json", "--state", t.TempDir(), "--mdns=false", "--allow", allow, "--stats-every", "1s",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/ws")
	var ready struct{ Addrs []string }
	line := firstLine(t, cmd)
	if err := json.Unmarshal(line, &ready); err != nil || len(ready.Addrs) != 2 {
		t.Fatalf("the worker said %q: %v", line, err)
	}
	return ready.Addrs
}

// firstLine starts a program, which is told to stop with the test, and returns
// the first line it prints.
func firstLine(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() > 0 {
			t.Errorf("%s ended with %v:\n%s", cmd.Path, err, stderr.Bytes())
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s said %q: %v", cmd.Path, line, err)
	}
	return line
}
