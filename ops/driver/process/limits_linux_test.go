//go:build slow

package process_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// limited starts a workload with limits, or skips where they cannot be enforced.
func limited(t *testing.T, means driver.Means, out *buffer, l driver.Limits, script string) driver.Workload {
	t.Helper()
	if means.By == "" {
		t.Skip("NOT TESTED: ", means.Why)
	}
	t.Log("enforced by ", means.By)
	w, err := process.Driver{}.Start(driver.Spec{Argv: []string{"/bin/sh", "-c", script}, Dir: t.TempDir(), Limits: l, Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
	return w
}

// A workload that needs more memory than it may have ends in a way that says so, also by a shell; one whose
// helper was killed for it, and which is stopped later, does not.
func TestMemoryLimit(t *testing.T) {
	means := process.Driver{}.Probe().Memory
	for name, script := range map[string]string{"itself": "exec tail /dev/zero", "shell": "tail /dev/zero; exit $?", "helper": "tail /dev/zero; echo 1; exec sleep 300"} {
		t.Run(name, func(t *testing.T) {
			var out buffer
			w := limited(t, means, &out, driver.Limits{MemoryBytes: 64 << 20}, script)
			if name == "helper" {
				eventually(t, "the helper to end", func() bool { return len(numbers(out.String())) == 1 })
				if err := w.Stop(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			<-w.Done()
			if e := w.Exit(); e.OutOfMemory != (name != "helper") || (e.String() == "out of memory") != e.OutOfMemory {
				t.Errorf("Exit() = %+v, printed %q", e, out.String())
			}
		})
	}
}

// What begins ever more processes gets no further than the limit, from the first one on.
func TestProcessLimit(t *testing.T) {
	const most = 20
	var out buffer
	bomb := `b() { [ $1 -gt 0 ] && { b $(($1-1)) & b $(($1-1)) & wait; }; sleep 60; }; b 8` // 256 at least, without a limit
	w := limited(t, process.Driver{}.Probe().Processes, &out, driver.Limits{Processes: most}, bomb)
	highest := 0
	eventually(t, "the limit to be met", func() bool {
		stats, err := w.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		highest = max(highest, stats.Processes)
		return strings.Contains(out.String(), "ork") // "Cannot fork", "fork: retry"
	})
	if highest > most {
		t.Errorf("%d processes, at most %d were allowed", highest, most)
	}
	if err := w.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	one := limited(t, process.Driver{}.Probe().Processes, &out, driver.Limits{Processes: 1}, "exit 3")
	if <-one.Done(); one.Exit() != (driver.Exit{Code: 3}) {
		t.Errorf("Exit() = %+v with one process", one.Exit())
	}
}

// A busy workload gets no more processor time than it may have.
func TestCPULimit(t *testing.T) {
	const share = 0.2
	var out buffer
	w := limited(t, process.Driver{}.Probe().CPU, &out, driver.Limits{CPU: share}, "while :; do :; done & while :; do :; done")
	began := time.Now()
	used := 0.0
	eventually(t, "some processor time", func() bool {
		stats, err := w.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		used = stats.CPUSeconds
		return used >= 0.5
	})
	if got := used / time.Since(began).Seconds(); got > share*1.1 {
		t.Errorf("it got %.3f of a processor, may have %.3f", got, share)
	} else {
		t.Logf("it got %.3f of a processor", got) // on a busy machine it may be less
	}
}

// A limit that cannot be enforced is an error that says which, and nothing was started.
func TestLimitThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	_, err := process.Driver{NoCgroup: true}.Start(driver.Spec{Argv: []string{"/usr/bin/touch", dir + "/ran"}, Dir: dir, Limits: driver.Limits{CPU: 1}})
	if !errors.Is(err, driver.ErrLimit) {
		t.Errorf("Start() = %v", err)
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("it was started")
	}
	if e := (process.Driver{NoCgroup: true}).Probe(); e.CPU.By != "" || e.CPU.Why == "" {
		t.Errorf("Probe() = %+v", e)
	}
	t.Logf("here: %+v", process.Driver{}.Probe())
}
