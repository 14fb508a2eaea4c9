//go:build slow

package shim_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

// A parent that is deaf to SIGTERM has a grandchild that has left the session, lost its parent and given
// up its environment. After Stop nothing of them is left.
func TestStopEndsTheWholeTree(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("there is no setsid here: ", err)
	}
	for _, noCgroup := range []bool{false, true} {
		t.Run("without a cgroup "+strconv.FormatBool(noCgroup), func(t *testing.T) {
			p := newPlace(t)
			w, err := shim.Driver{NoCgroup: noCgroup}.Start(p.spec(
				`trap '' TERM; echo $$; (env -i setsid sh -c 'sleep 300 & echo $!' & wait); while :; do sleep 0.02; done`))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.(driver.Kept).Release)
			pids := p.numbers(t, 2)
			if pids[0] != w.PID() || !alive(pids[1]) {
				t.Fatalf("PID() = %d, printed %v: this test proves nothing", w.PID(), pids)
			}
			stats, err := w.Stats(t.Context())
			if err != nil || stats.Processes < 1 || stats.RSS == 0 {
				t.Errorf("Stats() = %+v, %v", stats, err)
			}
			began := time.Now()
			if err := w.Stop(t.Context(), time.Second); err != nil || time.Since(began) < time.Second {
				t.Errorf("Stop() = %v after %v", err, time.Since(began))
			}
			gone(t, p, pids...)
			if e := w.Exit(); e.Signal != "killed" || e.Number != 9 || e.Code != -1 || e.Lost {
				t.Errorf("Exit() = %+v", e)
			}
		})
	}
}

// The agent is killed while the workload counts: the next one adopts it, and the log has each number once.
func TestAgentIsKilled(t *testing.T) {
	p := newPlace(t)
	cmd, said := startAgent(t, self(t), "start", p.dir, `i=0; while [ ! -e end ]; do i=$((i+1)); echo $i; sleep 0.001; done; exit 7`)
	hear(t, said, "started")
	p.numbers(t, 20)
	kill(cmd)
	before := len(p.numbers(t, 20))
	w := p.adopt(t)
	p.numbers(t, before+20)
	if w.PID() <= 0 || time.Since(w.Started()) > time.Minute || !w.Ended().IsZero() || w.Exit() != (driver.Exit{}) {
		t.Errorf("adopted: PID %d, started %v, ended %v, %+v", w.PID(), w.Started(), w.Ended(), w.Exit())
	}
	if err := os.WriteFile(filepath.Join(p.dir, "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if w.Exit() != (driver.Exit{Code: 7}) || time.Since(w.Ended()).Abs() > time.Minute {
		t.Errorf("Exit() = %+v at %v", w.Exit(), w.Ended())
	}
	for i, n := range p.numbers(t, before+20) {
		if n != i+1 {
			t.Fatalf("line %d of the log is %d", i+1, n)
		}
	}
	gone(t, p)
}

// How a workload ended while there was no agent is known to the next one.
func TestEndsWithoutAnAgent(t *testing.T) {
	for script, want := range map[string]driver.Exit{
		"exit 0":        {},
		"exit 3":        {Code: 3},
		"kill -SEGV $$": {Code: -1, Signal: "segmentation fault", Number: 11},
	} {
		t.Run(script, func(t *testing.T) {
			p := newPlace(t)
			cmd, said := startAgent(t, self(t), "start", p.dir, `while [ ! -e end ]; do sleep 0.01; done; echo last words; `+script)
			hear(t, said, "started")
			kill(cmd)
			if err := os.WriteFile(filepath.Join(p.dir, "end"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			eventually(t, "its end", func() bool { return len(processesOf(p)) == 0 })
			w := p.adopt(t)
			<-w.Done()
			if w.Exit() != want || time.Since(w.Ended()).Abs() > time.Minute {
				t.Errorf("Exit() = %+v at %v, want %+v", w.Exit(), w.Ended(), want)
			}
			if err := w.Stop(t.Context(), time.Hour); err != nil {
				t.Error(err)
			}
			if lines := p.printed(t); !slices.Equal(lines, []string{"last words"}) {
				t.Errorf("printed %q", lines)
			}
		})
	}
}

// A handle that is given up ends no workload, and nothing of it stays in the agent.
func TestRelease(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, "sleep 300")
	w.Release()
	w.Release()
	if err := w.Stop(t.Context(), 0); err == nil || w.Exit() != (driver.Exit{}) {
		t.Errorf("Stop() = %v after it was released, %+v", err, w.Exit())
	}
	if !alive(w.PID()) {
		t.Fatal("it does not run any more")
	}
	again := p.adopt(t)
	if err := again.Stop(t.Context(), time.Second); err != nil || again.PID() != w.PID() {
		t.Errorf("Stop() = %v of %d, want %d", err, again.PID(), w.PID())
	}
	gone(t, p)
}

// Two agents may ask for the same, and each shorter grace counts, also after a longer one of an agent that
// was killed.
func TestShorterGraceCounts(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, `trap '' TERM; echo 1; while :; do sleep 0.02; done`)
	p.numbers(t, 1)
	patient := make(chan error, 1)
	go func() { patient <- w.Stop(t.Context(), time.Hour) }()
	eventually(t, "the first request", func() bool { _, err := os.Stat(filepath.Join(p.keep, "stop.json")); return err == nil })
	if err := p.adopt(t).Stop(t.Context(), 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil {
		t.Error(err)
	}
	gone(t, p)
}

// When the machine is shut down nobody says a grace: SIGTERM comes to all.
func TestTerminatedWithoutAnAgent(t *testing.T) {
	p := newPlace(t)
	p.start(t, `trap 'echo bye; exit 5' TERM; echo 1; while :; do sleep 0.02; done`).Release()
	p.numbers(t, 1)
	for _, pid := range guardAndShim(t, p) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "its end", func() bool { return len(processesOf(p)) == 0 })
	w := p.adopt(t)
	<-w.Done()
	if w.Exit() != (driver.Exit{Code: 5}) || !slices.Contains(p.printed(t), "bye") {
		t.Errorf("Exit() = %+v, printed %q", w.Exit(), p.printed(t))
	}
}

// A workload whose first process ends leaves nothing, and its output is whole.
func TestBackgroundProcess(t *testing.T) {
	p := newPlace(t)
	began := time.Now()
	w := p.start(t, `sleep 60 & echo x`)
	<-w.Done()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if lines := p.printed(t); w.Exit() != (driver.Exit{}) || !slices.Equal(lines, []string{"x"}) {
		t.Errorf("Exit() = %+v, printed %q", w.Exit(), lines)
	}
	gone(t, p)
}

// A program that cannot be started is an error of Start, of the kind that it has in package process, and
// nothing is known of it later.
func TestStartFails(t *testing.T) {
	p := newPlace(t)
	spec := p.spec("")
	spec.Argv = []string{"/does/not/exist"}
	if _, err := (shim.Driver{}).Start(spec); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("Start() = %v", err)
	}
	if _, err := (shim.Driver{}).Adopt(p.keep); !errors.Is(err, driver.ErrGone) {
		t.Errorf("Adopt() = %v", err)
	}
	if _, err := (shim.Driver{}).Adopt(p.keep + "/none"); !errors.Is(err, driver.ErrGone) {
		t.Errorf("Adopt() of nothing = %v", err)
	}
	spec = p.spec("true")
	spec.Stdout = io.Discard
	if _, err := (shim.Driver{}).Start(spec); !errors.Is(err, driver.ErrSpec) {
		t.Errorf("Start() with a writer = %v", err)
	}
	spec = p.spec("echo \xff")
	if _, err := (shim.Driver{}).Start(spec); !errors.Is(err, driver.ErrSpec) {
		t.Errorf("Start() of what is no UTF-8 = %v", err)
	}
	spec = p.spec("true")
	spec.Keep = ""
	if _, err := (shim.Driver{}).Start(spec); !errors.Is(err, driver.ErrSpec) {
		t.Errorf("Start() without a place = %v", err)
	}
	gone(t, p)
}

// Guard and shim that were halted by somebody are given up, and the workload ends all the same.
func TestMonitorIsHalted(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, "echo 1; setsid sleep 300 & exec sleep 300")
	p.numbers(t, 1)
	for _, pid := range guardAndShim(t, p) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Stop(t.Context(), 0); err != nil || !w.Exit().Lost {
		t.Errorf("Stop() = %v, %+v", err, w.Exit())
	}
	gone(t, p)
}

// A start that fails leaves no lock: the next one can be at once.
func TestStartAfterAFailedOne(t *testing.T) {
	p := newPlace(t)
	for range 20 {
		spec := p.spec("")
		spec.Argv = []string{p.dir}
		if _, err := (shim.Driver{}).Start(spec); !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("Start() of a directory = %v", err)
		}
	}
	<-p.start(t, "true").Done()
}

// Limits hold for workloads that outlive the agent too, and how one ended by them is known later.
func TestLimits(t *testing.T) {
	p := newPlace(t)
	spec := p.spec("exec tail /dev/zero")
	spec.Limits = driver.Limits{MemoryBytes: 32 << 20, Processes: 10, CPU: 1}
	if _, err := (shim.Driver{NoCgroup: true}).Start(spec); !errors.Is(err, driver.ErrLimit) {
		t.Errorf("Start() without cgroups = %v", err)
	}
	here := (shim.Driver{}).Probe()
	if here.Memory.By == "" || here.CPU.By == "" || here.Processes.By == "" {
		t.Skipf("NOT TESTED: %+v", here)
	}
	w, err := (shim.Driver{}).Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	w.(driver.Kept).Release()
	eventually(t, "its end", func() bool { return len(processesOf(p)) == 0 })
	again := p.adopt(t)
	if <-again.Done(); !again.Exit().OutOfMemory {
		t.Errorf("Exit() = %+v", again.Exit())
	}
}

// What guard and shim cost, and how long a start takes.
func TestCost(t *testing.T) {
	if err := shim.Supported(); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	w := p.start(t, "sleep 300")
	least := time.Hour
	for range 10 {
		if err := w.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w = p.start(t, "sleep 300")
		least = min(least, time.Since(began))
	}
	const most = 8 << 10 // KiB
	total := 0
	eventually(t, "guard and shim to be small", func() bool {
		total = 0
		for _, pid := range guardAndShim(t, p) {
			total += anonymous(t, pid)
		}
		return total <= most || raced()
	})
	t.Logf("guard and shim: %d KiB of private memory; the fastest start took %v", total, least)
	if err := w.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// anonymous is the private memory of a process in KiB.
func anonymous(t testing.TB, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return kib
}

// raced reports whether this test was built with the race detector, which takes much memory.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Of one place only one workload runs.
func TestBusy(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, "sleep 300")
	if _, err := (shim.Driver{}).Start(p.spec("true")); !errors.Is(err, shim.ErrBusy) {
		t.Errorf("Start() = %v", err)
	}
	if err := w.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	<-p.start(t, "true").Done()
}

// The program of a running agent is renamed, or removed: it can start workloads all the same.
func TestProgramIsReplaced(t *testing.T) {
	for _, how := range []string{"removed", "renamed over"} {
		t.Run(how, func(t *testing.T) {
			p := newPlace(t)
			exe := filepath.Join(t.TempDir(), "agent")
			copyFile(t, self(t), exe)
			cmd := exec.Command(exe, "agent", "when told", p.dir, "echo 1; sleep 300")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { kill(cmd) })
			said := lineReader(stdout)
			hear(t, said, "ready")
			if how == "removed" {
				err = os.Remove(exe)
			} else {
				err = errors.Join(os.WriteFile(exe+".new", []byte("#!/bin/false\n"), 0o700), os.Rename(exe+".new", exe))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(stdin, "go\n"); err != nil {
				t.Fatal(err)
			}
			hear(t, said, "started")
			p.numbers(t, 1)
			kill(cmd)
			if err := p.adopt(t).Stop(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
			gone(t, p)
		})
	}
}

// What a workload gets: the short environment, three descriptors, no new privileges, an empty input, a
// session of its own.
func TestWhatAWorkloadGets(t *testing.T) {
	t.Setenv("SWARM_SECRET", "do not tell")
	p := newPlace(t)
	leak, err := os.CreateTemp(p.dir, "leak")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	fd, err := syscall.Dup(int(leak.Fd())) // one that is inherited
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	w := p.start(t, `/usr/bin/env; ls /proc/$$/fd | sed 's/^/fd /'; grep NoNewPrivs /proc/self/status; echo core $(ulimit -H -c); echo oom $(cat /proc/self/oom_score_adj); cat; ps -o sid= -p $$ | tr -d ' '; echo err >&2`)
	if score, err := os.ReadFile("/proc/" + strconv.Itoa(guardAndShim(t, p)[1]) + "/oom_score_adj"); err == nil && strings.TrimSpace(string(score)) == "300" {
		t.Error("the shim is as likely a victim as the workload")
	}
	<-w.Done()
	text := strings.Join(p.printed(t), "\n") + "\n"
	for _, want := range []string{"SWARM_WORKLOAD=" + p.dir + "\n", "HOME=" + p.dir + "\n", "fd 0\nfd 1\nfd 2\n", "NoNewPrivs:\t1\n", "core 0\n", "oom 300\n", "err\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, secret := range []string{"SWARM_SECRET", "GOMAXPROCS", "GOGC", "fd 3", "fd 4"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
	if info, err := os.Stat(filepath.Join(p.keep, "shim.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("shim.json has %v, %v", info.Mode(), err)
	}
}

// Orphans that have ended do not stay as zombies for as long as the workload runs.
func TestOrphansAreReaped(t *testing.T) {
	p := newPlace(t)
	w := p.start(t, `for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 & ) ; done; sleep 0.1; echo 1; sleep 300`)
	p.numbers(t, 1)
	shimPID := guardAndShim(t, p)[1]
	eventually(t, "the orphans to be reaped", func() bool {
		out, _ := exec.Command("ps", "-o", "stat=", "--ppid", strconv.Itoa(shimPID)).Output()
		return !strings.Contains(string(out), "Z")
	})
	if err := w.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

// The log keeps to its size.
func TestLogIsBounded(t *testing.T) {
	p := newPlace(t)
	spec := p.spec(`i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "$i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; done`)
	spec.LogConfig = logs.Config{SegmentBytes: 1, Segments: 2}
	w, err := (shim.Driver{}).Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	files, _ := filepath.Glob(filepath.Join(p.log, "*"))
	l := logs.Beside(p.log)
	defer l.Close()
	page, err := l.Tail(logs.Query{Lines: 1})
	if len(files) != 2 || err != nil || len(page.Lines) != 1 || !strings.HasPrefix(page.Lines[0].Text, "3000 ") {
		t.Errorf("%d files, last line %+v, %v", len(files), page.Lines, err)
	}
}
