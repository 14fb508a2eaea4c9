package process_test

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// A killed agent leaves no workload. What the workload itself has started is ended by the next
// agent.
func TestAgentKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out buffer
	dir := t.TempDir()
	cmd := exec.Command(exe, "agent", dir)
	cmd.Stdout = &out
	cmd.WaitDelay = time.Millisecond // the process that is left holds the pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the workload", func() bool { return len(numbers(out.String())) == 2 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	first, second := numbers(out.String())[0], numbers(out.String())[1]
	eventually(t, "the orphan to end", func() bool { return !alive(first) })
	if n, err := (process.Driver{}).Sweep(dir + "/other"); n != 0 || err != nil {
		t.Errorf("Sweep() of another directory = %d, %v", n, err)
	}
	if n, err := (process.Driver{}).Sweep(dir); n != 1 || err != nil || alive(second) {
		t.Errorf("Sweep() = %d, %v, want the one that is left", n, err)
	}
}

// The parent death signal belongs to the thread that started the child: a workload must live on
// when the goroutine that called Start, and its thread, are gone.
func TestOutlivesTheStartingThread(t *testing.T) {
	started := make(chan driver.Workload)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		w, err := process.Driver{}.Start(driver.Spec{Argv: []string{"/bin/sh", "-c", "sleep 0.3"}, Dir: t.TempDir()})
		if err != nil {
			t.Error(err)
		}
		started <- w
	}()
	if w := <-started; w != nil {
		<-w.Done()
		if w.Exit() != (driver.Exit{}) {
			t.Errorf("Exit() = %+v, want a clean exit", w.Exit())
		}
	}
}
