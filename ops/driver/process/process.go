// Package process runs workloads as operating system processes, each at the head of its own
// session.
//
// What it promises:
//   - No shell, and none of the agent's environment: a workload sees PATH, HOME and TMPDIR (its own
//     directory), LANG, and what its [driver.Spec] adds.
//   - Output goes through pipes, because some miners print nothing when stdout is a regular file.
//   - The whole tree ends: after the grace of Stop, and also when the first process dies by itself, every
//     process left of its session (Linux), process group (other Unix systems) or job object (Windows) is killed.
//   - When the agent is killed, so is the workload's first process on Linux (parent death signal) and
//     the whole tree on Windows (job object). What is left of the tree on Linux is found by Sweep when the
//     agent is back: each process carries the variable SWARM_WORKLOAD with its workload's directory.
//
// What it does not promise: a process that leaves the session (setsid, a daemon) escapes on Unix,
// and workloads run with the rights of the agent. A container or a cgroup closes both.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	gopsutil "github.com/shirou/gopsutil/v4/process"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

const (
	// drainTime is how long output is read on after the tree ended, in case an escaped process
	// still holds the pipes.
	drainTime = 2 * time.Second
	// sweepTime bounds the wait for killed processes to be gone.
	sweepTime = 5 * time.Second
	// sweepPause is the pause between two looks at what is left of a tree.
	sweepPause = 5 * time.Millisecond
)

// Driver is the process driver. The zero value is ready.
type Driver struct{}

// Start runs spec. See [driver.Driver].
func (Driver) Start(spec driver.Spec) (driver.Workload, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir, cmd.Env = spec.Dir, environment(spec)
	cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
	cmd.WaitDelay = drainTime
	w := &workload{cmd: cmd, done: make(chan struct{}), stopping: make(chan struct{})}
	started := make(chan error, 1)
	go w.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Argv[0], err)
	}
	return w, nil
}

var _ driver.Sweeper = Driver{}

type workload struct {
	cmd  *exec.Cmd
	tree tree // the platform's handle of everything that belongs to the workload

	once     sync.Once     // guards the first Stop
	stopping chan struct{} // closed by the first Stop
	grace    time.Duration // set before stopping is closed

	done chan struct{}
	exit driver.Exit // set before done is closed
}

// run owns the process from start to end. It stays on one OS thread, because Linux sends the parent
// death signal when the starting thread ends, not the starting process.
func (w *workload) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := w.start(); err != nil {
		started <- err
		return
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.obeyStop() }()
	started <- nil
	w.tree.killWithFirst()
	_ = w.cmd.Wait() // its error repeats the state, or says that the pipes had to be closed
	w.tree.sweep()
	w.exit = exitOf(w.cmd.ProcessState)
	close(w.done)
	<-stopped
}

// start starts the process and takes hold of its tree; on error nothing is left running.
func (w *workload) start() error {
	w.cmd.SysProcAttr = sysProcAttr()
	if err := w.cmd.Start(); err != nil {
		return err
	}
	if err := w.tree.adopt(w.cmd.Process.Pid); err != nil {
		return errors.Join(err, w.cmd.Process.Kill(), w.cmd.Wait())
	}
	return nil
}

// obeyStop carries out the first Stop, and ends with the workload.
func (w *workload) obeyStop() {
	select {
	case <-w.done:
		return
	case <-w.stopping:
	}
	w.tree.ask()
	grace := time.NewTimer(w.grace)
	defer grace.Stop()
	select {
	case <-w.done:
	case <-grace.C:
		w.tree.kill()
	}
}

func (w *workload) PID() int              { return w.cmd.Process.Pid }
func (w *workload) Done() <-chan struct{} { return w.done }

func (w *workload) Exit() driver.Exit {
	select {
	case <-w.done:
		return w.exit
	default:
		return driver.Exit{}
	}
}

func (w *workload) Stop(ctx context.Context, grace time.Duration) error {
	w.once.Do(func() {
		w.grace = grace
		close(w.stopping)
	})
	select {
	case <-w.done:
		return nil
	default:
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop process %d: %w", w.PID(), ctx.Err())
	}
}

func (w *workload) Stats(ctx context.Context) (driver.Stats, error) {
	var sum driver.Stats
	for _, pid := range w.tree.members() {
		p, err := gopsutil.NewProcessWithContext(ctx, int32(pid))
		if err != nil {
			continue // ended since the list was made
		}
		sum.Processes++
		if mem, err := p.MemoryInfoWithContext(ctx); err == nil {
			sum.RSS += mem.RSS
		}
		if t, err := p.TimesWithContext(ctx); err == nil {
			sum.CPUSeconds += t.User + t.System
		}
	}
	return sum, ctx.Err()
}

// exitOf reads how the process ended; an unknown end counts as a bad one.
func exitOf(state *os.ProcessState) driver.Exit {
	if state == nil {
		return driver.Exit{Code: -1}
	}
	return driver.Exit{Code: state.ExitCode(), Signal: signalName(state)}
}

// environment is all a workload gets to see.
func environment(spec driver.Spec) []string {
	env := append(systemEnvironment(), "HOME="+spec.Dir, "TMPDIR="+spec.Dir, "LANG=C.UTF-8")
	env = append(env, spec.Env...)
	return append(env, marker(spec.Dir))
}

// marker is the variable by which Sweep knows the processes of a workload.
func marker(dir string) string { return "SWARM_WORKLOAD=" + dir }
