//go:build unix

package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gopsutil "github.com/shirou/gopsutil/v4/process"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// TestMain also plays the agent that gets killed: see TestAgentKilled.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		agent(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

// buffer is a bytes.Buffer that may be read while it is written.
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

func shell(t *testing.T, out *buffer, script string) driver.Workload {
	t.Helper()
	w, err := process.Driver{}.Start(driver.Spec{
		Argv: []string{"/bin/sh", "-c", script}, Dir: t.TempDir(), Env: []string{"EXTRA=yes"}, Stdout: out, Stderr: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
	return w
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	p, err := gopsutil.NewProcess(int32(pid))
	if err != nil {
		return false
	}
	state, err := p.Status()
	return err == nil && !slices.Contains(state, gopsutil.Zombie)
}

func numbers(s string) []int {
	var ns []int
	for f := range strings.FieldsSeq(s) {
		if n, err := strconv.Atoi(f); err == nil {
			ns = append(ns, n)
		}
	}
	return ns
}

func TestStopEndsTheWholeTree(t *testing.T) {
	tests := []struct {
		name, script string
	}{
		{"polite", `sleep 1000 & echo $!; sleep 1000 & echo $!; echo $$; wait`},
		{"deaf to the signal", `trap '' TERM; sleep 1000 & echo $!; sleep 1000 & echo $!; echo $$; while :; do wait; done`},
	}
	if runtime.GOOS == "linux" { // elsewhere only the process group is ended
		tests = append(tests, struct{ name, script string }{
			"job control gives groups of their own", `set -m; sleep 1000 & echo $!; sh -c 'sleep 1000' & echo $!; echo $$; wait`,
		})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out buffer
			w := shell(t, &out, tt.script)
			eventually(t, "three process IDs", func() bool { return len(numbers(out.String())) == 3 })
			stats, err := w.Stats(t.Context())
			if err != nil || stats.RSS == 0 {
				t.Errorf("Stats() = %+v, %v; want some memory", stats, err)
			}
			for range 2 {
				if err := w.Stop(t.Context(), 50*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			for _, pid := range numbers(out.String()) {
				if alive(pid) {
					t.Errorf("process %d still runs", pid)
				}
			}
			if w.Exit().Signal == "" {
				t.Errorf("Exit() = %+v, want a signal", w.Exit())
			}
		})
	}
}

// A first process that dies must not leave its children to run on unseen.
func TestDeathOfTheFirstEndsTheRest(t *testing.T) {
	var out buffer
	w := shell(t, &out, `sleep 1000 & echo $!; exit 3`)
	<-w.Done()
	if got, want := w.Exit(), (driver.Exit{Code: 3}); got != want {
		t.Errorf("Exit() = %+v, want %+v", got, want)
	}
	for _, pid := range numbers(out.String()) {
		if alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
}

func TestGraceLetsItFinish(t *testing.T) {
	var out buffer
	w := shell(t, &out, `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
	eventually(t, "the trap", func() bool { return strings.Contains(out.String(), "ready") })
	if err := w.Stop(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if w.Exit() != (driver.Exit{}) || !strings.Contains(out.String(), "bye") {
		t.Errorf("Exit() = %+v with output %q, want a clean goodbye", w.Exit(), out.String())
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	var out buffer
	w := shell(t, &out, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	eventually(t, "the trap", func() bool { return strings.Contains(out.String(), "ready") })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := w.Stop(ctx, 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop() = %v, want the context's error", err)
	}
	<-w.Done() // the stopping went on
}

// Who is in a hurry need not wait for the grace that somebody else has given.
func TestShortestGraceCounts(t *testing.T) {
	var out buffer
	w := shell(t, &out, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	eventually(t, "the trap", func() bool { return strings.Contains(out.String(), "ready") })
	patient := make(chan error, 1)
	go func() { patient <- w.Stop(context.Background(), time.Hour) }()
	if err := w.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil || w.Exit().Signal == "" {
		t.Errorf("Stop() = %v, Exit() = %v", err, w.Exit())
	}
}

func TestEnvironmentIsShort(t *testing.T) {
	t.Setenv("SWARM_SECRET", "do not tell")
	var out buffer
	w := shell(t, &out, `/usr/bin/env`)
	<-w.Done()
	if s := out.String(); strings.Contains(s, "SWARM_SECRET") || !strings.Contains(s, "EXTRA=yes") || !strings.Contains(s, "PATH=") {
		t.Errorf("environment is\n%s", s)
	}
}

func TestStartFails(t *testing.T) {
	for _, argv := range [][]string{{"/does/not/exist"}, {"relative"}, nil} {
		if _, err := (process.Driver{}).Start(driver.Spec{Argv: argv, Dir: t.TempDir()}); err == nil {
			t.Errorf("Start(%q) succeeded", argv)
		}
	}
}

// agent starts a workload of two processes, which tell their IDs, and waits to be killed.
func agent(dir string) {
	w, err := process.Driver{}.Start(driver.Spec{
		Argv: []string{"/bin/sh", "-c", "echo $$; sleep 1000 & echo $!; wait"}, Dir: dir, Stdout: os.Stdout,
	})
	if err != nil {
		panic(err)
	}
	<-w.Done()
}
