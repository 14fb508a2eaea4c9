package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/output"
)

// actor is set in the processes that the tests start of themselves in place of the program.
const actor = "DEMO_TEST_ACTOR"

func TestMain(m *testing.M) {
	if os.Getenv(actor) != "" {
		act(os.Args[1])
	}
	os.Setenv(actor, "yes")
	goleak.VerifyTestMain(m)
}

// stats is a line of get_stats or watch.
const stats = `{"name":"%s","payload":{"workloads":[{"hashRate":1500,"sharesAccepted":2}]}}` + "\n"

// act is what a process in place of the program does.
func act(what string) {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	// untilStopped waits for the signal to stop, for a minute at most, and exits.
	untilStopped := func(code int) {
		select {
		case <-stopped:
			os.Exit(code)
		case <-time.After(time.Minute):
			os.Exit(1)
		}
	}
	switch what {
	case "ready":
		fmt.Println(`{"event":"ready","addrs":["/ip4/127.0.0.1/tcp/1/p2p/x"]}`)
		untilStopped(0)
	case "stubborn":
		fmt.Println(`{"event":"ready","addrs":["/ip4/127.0.0.1/tcp/1/p2p/x"]}`)
		untilStopped(9)
	case "nowhere":
		fmt.Println(`{"event":"ready","addrs":[]}`)
		untilStopped(0)
	case "nonsense":
		fmt.Println("ready")
		untilStopped(0)
	case "dead":
		fmt.Fprintln(os.Stderr, "the port is taken")
		os.Exit(1)
	case "settings":
		fmt.Println(strings.Join(slices.DeleteFunc(os.Environ(), func(kv string) bool { return !strings.HasPrefix(kv, "SWARM_") }), "\n"))
	case "controller": // watch
		switch os.Getenv(actor) {
		case "nonsense":
			fmt.Println("no JSON")
		case "one":
			fmt.Printf(stats, "rig-1")
			os.Exit(1)
		default:
			for _, name := range []string{"rig-2", "rig-1", "rig-1"} {
				fmt.Printf(stats, name)
			}
		}
		untilStopped(0)
	case "stats":
		fmt.Printf(stats+stats, "rig-1", "rig-2")
	case "forever":
		untilStopped(0)
	default:
		os.Exit(2)
	}
	os.Exit(0)
}

func newRun(t *testing.T) *run {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the processes here are asked to end by a signal")
	}
	return &run{program: os.Args[0], dir: t.TempDir(), total: make(map[string]any)}
}

func TestStartWorker(t *testing.T) {
	for what, want := range map[string]string{
		"nowhere": "it listens nowhere", "nonsense": "not ready", "dead": "the port is taken",
	} {
		if c, err := newRun(t).startWorker(t.Context(), what, []string{what}); c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	d := newRun(t)
	c, err := d.startWorker(t.Context(), "rig-1", []string{"ready"})
	if err != nil || c.addr != "/ip4/127.0.0.1/tcp/1/p2p/x" {
		t.Fatalf("got %+v, %v", c, err)
	}
	d.workers = append(d.workers, c)
	if err := d.stopWorkers(); err != nil {
		t.Error(err)
	}
}

// A worker that says nothing is not waited for longer than the demonstration goes on.
func TestStartWorkerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := newRun(t).startWorker(ctx, "rig-1", []string{"forever"}); err == nil {
		t.Error("it is ready")
	}
	if d := time.Since(began); d > stopGrace {
		t.Errorf("it took %v", d)
	}
}

// One worker that ends badly is named, and the others are stopped all the same.
func TestStopWorkers(t *testing.T) {
	d := newRun(t)
	for _, what := range []string{"ready", "stubborn", "ready"} {
		c, err := d.startWorker(t.Context(), what, []string{what})
		if err != nil {
			t.Fatal(err)
		}
		d.workers = append(d.workers, c)
	}
	err := d.stopWorkers()
	if err == nil || !strings.Contains(err.Error(), "stubborn did not end well") || strings.Contains(err.Error(), "ready did") {
		t.Errorf("got %v", err)
	}
	for _, w := range d.workers {
		if w.cmd.ProcessState == nil {
			t.Errorf("%s was not waited for", w.name)
		}
	}
}

func TestSwarm(t *testing.T) {
	d := newRun(t)
	if _, err := d.swarm(t.Context(), 0, "dead"); err == nil || !strings.Contains(err.Error(), "swarm dead: exit code 1, want 0: the port is taken") {
		t.Errorf("got %v", err)
	}
	if out, err := d.swarm(t.Context(), 1, "dead"); err != nil || out != "the port is taken\n" {
		t.Errorf("the exit code that is wanted: %q, %v", out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.swarm(ctx, 0, "forever"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	d.program = t.TempDir()
	if _, err := d.swarm(t.Context(), 0, "id"); err == nil {
		t.Error("a program that cannot be started is no error")
	}
}

// The settings of the person who tries it do not change the demonstration.
func TestEnvironment(t *testing.T) {
	t.Setenv("SWARM_BOOTSTRAP", "/ip4/192.0.2.1/tcp/1")
	t.Setenv("SWARM_CONFIG", "/etc/other.yaml")
	out, err := newRun(t).swarm(t.Context(), 0, "settings")
	if want := "SWARM_CONFIG=" + os.DevNull + "\n"; err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

func TestAsk(t *testing.T) {
	lines, err := newRun(t).ask(t.Context(), "stats")
	if err != nil || len(lines) != 2 || lines[1].Name != "rig-2" || lines[1].accepted() != 2 {
		t.Errorf("got %+v, %v", lines, err)
	}
	if _, err := newRun(t).ask(t.Context(), "settings"); err == nil {
		t.Error("what is no JSON is taken")
	}
}

// What watch says wrongly, or not at all, ends the step, and no process is left.
func TestWatchUntil(t *testing.T) {
	d := newRun(t)
	seen, err := d.watchUntil(t.Context(), 2)
	if err != nil || len(seen) != 2 || seen["rig-1"] != "1.5 kH/s" {
		t.Errorf("got %v, %v", seen, err)
	}
	for how, want := range map[string]string{"nonsense": "0 of 2 workers were heard: read", "one": "1 of 2 workers were heard: EOF"} {
		t.Setenv(actor, how)
		if _, err := d.watchUntil(t.Context(), 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", how, err, want)
		}
	}
}

// A process may say without end what goes wrong.
func TestTailIsBounded(t *testing.T) {
	var said tail
	for range 1000 {
		fmt.Fprintf(&said, "%1023s\n", "x")
	}
	if n := said.Len(); n > 65<<10 || n == 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

// The last line says what is left, and only what is so.
func TestFinish(t *testing.T) {
	failed := errors.New("failed")
	for _, tt := range []struct {
		name       string
		keep, json bool
		err        error
		want       string
		not        string
	}{
		{"all is well", false, false, nil, "stopped and removed", "what it made"},
		{"kept", true, false, nil, "what it made is in DIR.", "removed"},
		{"failed and kept", true, false, failed, "what it made is in DIR.", "All of it works"},
		{"failed", false, false, failed, "", "works"},
		{"for programs", true, true, nil, `"dir":"DIR"`, "works"},
		{"failed, for programs", false, true, failed, `"ok":false`, "dir"},
	} {
		var out bytes.Buffer
		d := newRun(t)
		d.dir, d.keep, d.total["sharesAccepted"] = "DIR", tt.keep, 3
		d.out = &output.Std{Stdout: output.New(&out), JSON: tt.json}
		if err := d.finish(tt.err); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if text := out.String(); !strings.Contains(text, tt.want) || strings.Contains(text, tt.not) {
			t.Errorf("%s: it says %q", tt.name, text)
		}
	}
}
