package shim

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/boot"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

const (
	// endTries is how often the shim tries to say how the workload ended, on a full disk for example.
	endTries = 10
	endPause = 300 * time.Millisecond
)

// monitor is the shim: what runs one workload.
type monitor struct {
	keep  string
	guard process.Identity // its parent
	order order
	log   *logs.Log      // nil for none
	out   []*logs.Writer // into log

	driver.Workload
	lost bool // the guard was killed
}

// runShim runs the workload to its end.
func runShim(keep string) (code int) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGCHLD)
	ready, locked := os.NewFile(readyFD, "ready"), os.NewFile(lockFD, lockFile)
	m := &monitor{keep: keep}
	err := m.findGuard()
	if err == nil {
		err = m.start()
	}
	answer(ready, err)
	if err != nil {
		return exitFailed
	}
	shrink()
	m.watch(signals)
	code = m.end()
	runtime.KeepAlive(locked)
	return code
}

// findGuard wants the guard to live. The signal that tells of its death is not seen before it is asked for,
// so this comes after that.
func (m *monitor) findGuard() error {
	pid, err := strconv.Atoi(os.Getenv(guardEnv))
	if err != nil {
		return err
	}
	m.guard, _ = process.Identify(pid)
	if m.guard.PID != os.Getppid() {
		return errors.New("its guard was killed")
	}
	return nil
}

// start starts the workload, and says on the disk what runs; on an error nothing does.
func (m *monitor) start() error {
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		m.order, err = readOrder(m.keep)
	}
	if err != nil {
		return err
	}
	spec := m.order.spec()
	if m.order.Log != "" {
		if m.log, err = logs.Open(m.order.Log, m.order.logConfig()); err != nil {
			return err
		}
		m.out = []*logs.Writer{m.log.Writer(logs.Stdout), m.log.Writer(logs.Stderr)}
		spec.Stdout, spec.Stderr = m.out[0], m.out[1]
	}
	defer preferVictim()()
	if m.Workload, err = (process.Driver{Reaper: true, NoCgroup: m.order.NoCgroup}).Start(spec); err != nil {
		return errors.Join(err, m.closeLog())
	}
	if err := write(m.keep, stateFile, m.state(), maxFile); err != nil {
		return errors.Join(err, m.Stop(context.Background(), 0), m.closeLog())
	}
	return nil
}

// preferVictim has what is started from now on chosen before the agent, the guard and this process when the
// machine is out of memory, until it is undone. Where that cannot be, it is no reason not to start.
func preferVictim() (undo func()) {
	const file, score = "/proc/self/oom_score_adj", 300 // of 1000
	before, err := durable.ReadFile(file, maxFile)
	if now, bad := strconv.Atoi(strings.TrimSpace(string(before))); err != nil || bad != nil || now >= score {
		return func() {}
	}
	set := func(text string) {
		if f, err := durable.OpenFile(file, os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteString(text)
			_ = f.Close()
		}
	}
	set(strconv.Itoa(score))
	return func() { set(string(before)) }
}

// state is what runs. A workload that has ended by now has no identity any more.
func (m *monitor) state() state {
	s := state{
		Version: version, Run: m.order.Run, Boot: boot.ID(), Guard: m.guard, Mark: m.order.Mark,
		Groups: process.Groups(m.Workload), Started: time.Now(),
	}
	s.Shim, _ = process.Identify(os.Getpid())
	s.Workload, _ = process.Identify(m.PID())
	s.Workload.PID = m.PID()
	return s
}

// watch obeys signals until the workload has ended.
func (m *monitor) watch(signals <-chan os.Signal) {
	m.reap()
	for {
		select {
		case <-m.Done():
			return
		case s := <-signals:
			m.obey(s)
		}
	}
}

func (m *monitor) obey(s os.Signal) {
	switch s {
	case syscall.SIGCHLD:
		m.reap()
	case syscall.SIGTERM, syscall.SIGINT:
		m.ask(readGrace(m.keep, m.order.Run))
	case syscall.SIGUSR1: // as the guard dies; from anybody else it means nothing
		if os.Getppid() != m.guard.PID {
			m.lost = true
			m.ask(0)
		}
	}
}

// ask has the workload stopped, and does not wait.
func (m *monitor) ask(grace time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Stop(ctx, grace)
}

// reap waits for the orphans that have ended. The first process is package process's to wait for.
func (m *monitor) reap() {
	for {
		pid := endedChild()
		if pid <= 0 || pid == m.PID() {
			return
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}

// endedChild returns the number of a child that has ended, and leaves it as it is; 0 where there is none.
func endedChild() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	// Three numbers of four bytes come first; what follows them is aligned as a pointer is.
	const align = unsafe.Sizeof(uintptr(0))
	const at = (3*4 + align - 1) / align * align
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), at)))
}

// end says on the disk how the workload ended.
func (m *monitor) end() (code int) {
	exit := m.Exit()
	if m.lost {
		exit = driver.Exit{Code: -1, Lost: true}
	}
	_ = m.closeLog() // what it could not write it has counted
	e := endingOf(m.order.Run, exit)
	for range endTries {
		if write(m.keep, exitFile, e, maxFile) == nil {
			return exitDone
		}
		time.Sleep(endPause)
	}
	return exitUsage // the guard tries once more, without knowing how
}

func (m *monitor) closeLog() error {
	if m.log == nil {
		return nil
	}
	for _, w := range m.out {
		_ = w.Close()
	}
	return m.log.Close()
}
