//go:build slow

package shim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gopsutil "github.com/shirou/gopsutil/v4/process"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

// TestMain is also the guard, the shim, and the agents that are killed.
func TestMain(m *testing.M) {
	if code, done := shim.Main(); done {
		os.Exit(code)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each guard and shim that is built with -race takes a second to end
	if len(os.Args) > 2 && os.Args[1] == "agent" {
		agent(os.Args[2], os.Args[3:]...)
		return
	}
	goleak.VerifyTestMain(m)
}

// agent is another agent, which is to be killed. It tells its steps.
func agent(what string, args ...string) {
	p := placeAt(args[0])
	switch what {
	case "start":
		w, err := (shim.Driver{}).Start(p.spec(args[1]))
		if err != nil {
			fmt.Println("error:", err)
			return
		}
		fmt.Println("started", w.PID())
		<-w.Done()
	case "rounds":
		for {
			w, err := (shim.Driver{}).Start(p.spec(args[1]))
			if err != nil {
				panic(err)
			}
			fmt.Println("started", w.PID())
			if err := w.Stop(context.Background(), 20*time.Millisecond); err != nil {
				panic(err)
			}
			fmt.Println("stopped")
		}
	case "reuse":
		reuse(p)
	case "when told": // started once its program is gone
		fmt.Println("ready")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		agent("start", args...)
	}
}

// place is where the files of a workload are.
type place struct{ dir, keep, log string }

func placeAt(dir string) place {
	return place{dir, filepath.Join(dir, "keep"), filepath.Join(dir, "log")}
}

// newPlace is one of which nothing is left at the end of the test.
func newPlace(t testing.TB) place {
	p := placeAt(t.TempDir())
	t.Cleanup(func() {
		eventually(t, "the end of all", func() bool {
			_, err := (shim.Driver{}).Sweep(p.dir)
			return err == nil && len(processesOf(p)) == 0
		})
	})
	return p
}

func (p place) spec(script string) driver.Spec {
	return driver.Spec{Argv: []string{"/bin/sh", "-c", script}, Dir: p.dir, Keep: p.keep, Log: p.log}
}

func (p place) start(t testing.TB, script string) driver.Kept {
	t.Helper()
	w, err := (shim.Driver{}).Start(p.spec(script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.(driver.Kept).Release)
	return w.(driver.Kept)
}

func (p place) adopt(t testing.TB) driver.Kept {
	t.Helper()
	w, err := (shim.Driver{}).Adopt(p.keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Release)
	return w
}

// printed are the lines in the log by now.
func (p place) printed(t testing.TB) (lines []string) {
	t.Helper()
	l := logs.Beside(p.log)
	defer l.Close()
	for offset := int64(0); ; {
		page, err := l.Read(offset, logs.Query{})
		if err != nil || page.Gap != nil {
			t.Fatalf("read the log: %v, gap %v", err, page.Gap)
		}
		for _, line := range page.Lines {
			lines = append(lines, line.Text)
		}
		if offset = page.Next; !page.More && len(page.Lines) == 0 {
			return lines
		}
	}
}

// numbers waits until the workload has printed so many numbers.
func (p place) numbers(t testing.TB, n int) (out []int) {
	t.Helper()
	eventually(t, "what the workload prints", func() bool {
		out = nil
		for _, line := range p.printed(t) {
			if v, err := strconv.Atoi(line); err == nil {
				out = append(out, v)
			}
		}
		return len(out) >= n
	})
	return out
}

// startAgent starts another agent, and returns it with the first word it says.
func startAgent(t testing.TB, exe string, args ...string) (cmd *exec.Cmd, said *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(exe, append([]string{"agent"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd, bufio.NewReader(out)
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// hear reads the next line that an agent says, and wants it to begin with a word.
func hear(t testing.TB, said *bufio.Reader, word string) {
	t.Helper()
	if line, err := said.ReadString('\n'); err != nil || !strings.HasPrefix(line, word) {
		t.Fatalf("the agent says %q, %v; want %s", line, err, word)
	}
}

func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func eventually(t testing.TB, what string, ok func() bool) {
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

// monitorsOf are guard and shim of a place.
func monitorsOf(p place) (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
	for _, name := range all {
		text, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && isMonitor(p, string(text)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isMonitor(p place, cmdline string) bool {
	return strings.HasPrefix(cmdline, "swarm-shim\x00") && strings.HasSuffix(cmdline, "\x00"+p.keep+"\x00")
}

// processesOf are guard, shim and marked processes of a place.
func processesOf(p place) (pids []int) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !alive(pid) {
			continue
		}
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		environ, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if isMonitor(p, string(cmdline)) || strings.Contains(string(environ), "SWARM_WORKLOAD="+p.dir+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone wants nothing to run of a place any more, neither guard nor shim.
func gone(t testing.TB, p place, more ...int) {
	t.Helper()
	if left := processesOf(p); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	for _, pid := range more {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func lineReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
}
