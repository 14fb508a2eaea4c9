// Package process runs workloads as operating system processes, each at the head of its own
// session.
//
// What it promises:
//   - No shell, and none of the agent's environment: a workload sees PATH, HOME and TMPDIR (its own
//     directory), LANG, and what its [driver.Spec] adds.
//   - Output goes through pipes, because some miners print nothing when stdout is a regular file.
//   - The whole tree ends: after the grace of Stop, and also when the first process dies by itself, every
//     process left of it is killed. On Linux these are all of the workload's own cgroup, where the agent may
//     make one; and its session, its descendants, and all that carry its mark in their environment, as a
//     daemon does that has left the session. On other Unix systems it is the process group, on Windows the
//     job object.
//   - When the agent is killed, so is the workload's first process on Linux (parent death signal) and
//     the whole tree on Windows (job object). What is left of the tree on Linux is found by Sweep when the
//     agent is back: each process carries the variable SWARM_WORKLOAD with its workload's mark.
//
// What it does not promise: without a cgroup a process escapes that leaves the session, gives up its
// environment, and whose parent has ended before anybody looked; on other Unix systems it need only
// leave the process group. And workloads run with the rights of the agent: what another program starts
// for them, such as cron, is that one's.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
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
	// killed is the number of the signal that the kernel sends for want of memory.
	killed = 9
)

// Driver is the process driver. The zero value is ready.
type Driver struct {
	// NoCgroup leaves workloads in the agent's own cgroup, as where it may make none.
	NoCgroup bool
	// Reaper says that this process has no other children, and gets the orphans of its descendants, as
	// Linux has it (subreaper): all that is below it belongs to the one workload that it ever starts.
	Reaper bool
}

// Start runs spec. See [driver.Driver].
func (d Driver) Start(spec driver.Spec) (driver.Workload, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if spec.TTY != nil && !terminals {
		return nil, fmt.Errorf("%w: there are no terminals on this system", driver.ErrSpec)
	}
	if spec.User != nil && !users {
		return nil, fmt.Errorf("%w: nothing runs as another user on this system", driver.ErrSpec)
	}
	spec.Mark = cmp.Or(spec.Mark, spec.Dir)
	w := &workload{spec: spec, driver: d, done: make(chan struct{}), graces: make(chan time.Duration)}
	started := make(chan error, 1)
	go w.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Argv[0], err)
	}
	return w, nil
}

var _ driver.Sweeper = Driver{}

type workload struct {
	spec   driver.Spec
	driver Driver

	cmd  *exec.Cmd
	tree tree // the platform's handle of everything that belongs to the workload

	graces chan time.Duration // what Stop was called with

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
	w.exit = exitOf(w.cmd.ProcessState)
	w.exit.OutOfMemory = (w.exit.Number == killed || w.exit.Code == 128+killed) && w.tree.outOfMemory() // the cgroup goes with the tree
	w.tree.sweep()
	close(w.done)
	<-stopped
}

// start starts the process and takes hold of its tree; on error nothing is left running.
func (w *workload) start() error {
	if err := w.tree.prepare(w.spec, w.driver); err != nil {
		return err
	}
	err := w.startIn()
	if err != nil && w.tree.ungroup() && w.spec.Limits == (driver.Limits{}) { // the cgroup may be the reason
		err = w.startIn()
	}
	if err != nil {
		return err
	}
	if err := w.tree.adopt(w.cmd.Process.Pid); err != nil {
		return errors.Join(err, w.cmd.Process.Kill(), w.cmd.Wait())
	}
	return nil
}

// startIn starts the process where the tree wants it.
func (w *workload) startIn() error {
	leave, err := w.tree.enter()
	if err != nil {
		return err
	}
	w.cmd = command(w.spec)
	w.cmd.SysProcAttr = w.tree.attributes()
	become(w.cmd.SysProcAttr, w.spec.User)
	err = w.cmd.Start()
	if left := leave(); err == nil && left != nil {
		return errors.Join(left, w.cmd.Process.Kill(), w.cmd.Wait())
	}
	return err
}

// obeyStop carries out what Stop wants, and ends with the workload.
func (w *workload) obeyStop() {
	var end time.Time // of the grace
	var over <-chan time.Time
	for {
		select {
		case <-w.done:
			return
		case grace := <-w.graces:
			if at := time.Now().Add(grace); over == nil || at.Before(end) {
				if over == nil {
					w.tree.ask()
				}
				end, over = at, time.After(grace)
			}
		case <-over:
			w.tree.kill()
		}
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
	select {
	case <-w.done:
		return nil
	case w.graces <- grace:
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop process %d: %w", w.PID(), ctx.Err())
	}
}

func (w *workload) Stats(ctx context.Context) (driver.Stats, error) {
	return measure(ctx, w.tree.members())
}

// measure adds up what processes use.
func measure(ctx context.Context, pids []int) (sum driver.Stats, err error) {
	for _, pid := range pids {
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
	name, number := signalOf(state)
	return driver.Exit{Code: state.ExitCode(), Signal: name, Number: number}
}

// command is what a spec says.
func command(spec driver.Spec) *exec.Cmd {
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir, cmd.Env = spec.Dir, environment(spec)
	if spec.Stdin != nil {
		cmd.Stdin = spec.Stdin
	}
	cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
	if spec.Name != "" {
		cmd.Args[0] = spec.Name
	}
	if spec.TTY != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = spec.TTY, spec.TTY, spec.TTY
	}
	cmd.WaitDelay = drainTime
	return cmd
}

// environment is all a workload gets to see.
func environment(spec driver.Spec) []string {
	if spec.OnlyEnv {
		return append(slices.Clone(spec.Env), marker(spec.Mark))
	}
	env := append(systemEnvironment(), "HOME="+spec.Dir, "TMPDIR="+spec.Dir, "LANG=C.UTF-8")
	env = append(env, spec.Env...)
	return append(env, marker(spec.Mark))
}

// marker is the variable by which the processes of a workload are known.
func marker(mark string) string { return "SWARM_WORKLOAD=" + mark }
