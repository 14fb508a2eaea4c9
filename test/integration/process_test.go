package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/test/contract"
)

// program is the path of the real binary, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "swarm-integration-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "swarm")
	build := exec.Command("go", "build", "-o", program, "github.com/seed-b490fa12/swarm/cmd/swarm")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// process is a worker that runs as a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	state string
	peer  string
	addr  string
	log   *buffer
	once  sync.Once
}

// environment keeps settings of the machine out of the tests.
func environment(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SWARM_CONFIG=" + os.DevNull, "TMPDIR=" + os.TempDir()}
}

// startWorker starts a worker on loopback and waits until it is ready. It is
// ended with the test, and must end well unless it was killed.
func startWorker(t *testing.T, state string, args ...string) *process {
	t.Helper()
	p := &process{t: t, state: state, log: new(buffer)}
	base := []string{"worker", "--state", state, "--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--mdns=false", "--json"}
	p.cmd = exec.Command(program, append(base, args...)...)
	p.cmd.Env = environment(t)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the worker was not ready: %v\n%s", err, p.log)
	}
	var ready struct {
		Event, Peer string
		Addrs       []string
	}
	must(t, json.Unmarshal(line, &ready, json.MatchCaseInsensitiveNames(true)))
	if ready.Event != "ready" || len(ready.Addrs) == 0 {
		t.Fatalf("first line %s", line)
	}
	p.peer, p.addr = ready.Peer, ready.Addrs[0]
	return p
}

// stop ends the worker in the way of an operator, and requires a clean exit.
func (p *process) stop() {
	p.once.Do(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
		defer kill.Stop()
		if err := p.cmd.Wait(); err != nil {
			p.t.Errorf("the worker did not end well: %v\n%s", err, p.log)
		}
	})
}

// kill ends the worker at once, with no chance to say anything.
func (p *process) kill() {
	p.once.Do(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
}

// ran is what a finished command left behind.
type ran struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// swarm runs one command to its end.
func swarm(t *testing.T, args ...string) ran {
	t.Helper()
	return swarmIn(t.Context(), t, nil, args...)
}

func swarmIn(ctx context.Context, t *testing.T, stdin io.Reader, args ...string) ran {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = environment(t)
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("swarm %s: %v", strings.Join(args, " "), err)
	}
	if slices.Contains(args, "--json") {
		checkLines(t, args, stdout.String())
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
}

// checkLines holds what a command has printed with --json against docs/json.md.
func checkLines(t *testing.T, args []string, out string) {
	t.Helper()
	if err := schema().CheckAll(out); err != nil {
		t.Errorf("swarm %s: %v", strings.Join(args, " "), err)
	}
}

var schema = sync.OnceValue(func() contract.Members {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		panic(err)
	}
	m, err := contract.New(text)
	if err != nil {
		panic(err)
	}
	return m
})

// controller is a controller's state directory with an identity in it.
type controller struct {
	t     *testing.T
	state string
	id    string
}

func newController(t *testing.T) controller {
	t.Helper()
	c := controller{t: t, state: t.TempDir()}
	r := swarm(t, "id", "--state", c.state)
	if c.id = strings.TrimSpace(r.stdout); r.code != 0 || c.id == "" {
		t.Fatalf("id: %+v", r)
	}
	return c
}

// exec runs one operation and reads its lines of JSON.
func (c controller) exec(args ...string) (ran, []line) {
	c.t.Helper()
	r := swarm(c.t, append([]string{"controller", "exec", "--json", "--mdns=false", "--state", c.state}, args...)...)
	return r, linesOf(c.t, r.stdout)
}

// line is a result as exec prints it.
type line struct {
	Peer, Name string
	OK         bool
	Done       bool
	Type       string
	Payload    jsontext.Value
	Error      struct {
		Code    int
		Message string
	}
}

func linesOf(t *testing.T, out string) (lines []line) {
	t.Helper()
	for text := range strings.Lines(out) {
		var l line
		if err := json.Unmarshal([]byte(text), &l, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// waitFor waits until ok, for 30 s at most.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("not within 30 s: ", what)
		}
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
