package shim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/boot"
	"github.com/seed-b490fa12/swarm/ops/driver"
)

const (
	// adoptTime bounds the wait for a shim that is starting its workload.
	adoptTime = 10 * time.Second
	// lostTime is how long a shim gets to end its workload by itself after its guard was killed.
	lostTime = 1500 * time.Millisecond
	// leaveTime bounds the wait for a killed shim to be gone.
	leaveTime = time.Second
	// stuckTime is how much longer than the grace guard and shim may take to end a workload.
	stuckTime = 12 * time.Second
	// lookPause is the pause between two looks at the lock.
	lookPause = 5 * time.Millisecond
)

var errReleased = errors.New("the workload was given up by this agent")

// workload is the handle of a run.
type workload struct {
	keep  string
	state state
	guard *os.File // its pidfd; nil: it was gone when we looked

	release  sync.Once
	released chan struct{}
	watched  chan struct{} // closed when the goroutine of the handle has ended

	mu    sync.Mutex
	gone  bool        // guarded by mu: the guard is gone, or not watched any more
	until time.Time   // guarded by mu: when the shortest grace ends that was asked for; zero for none
	force *time.Timer // guarded by mu: set by the first Stop

	done  chan struct{}
	exit  driver.Exit // set before done is closed, as is ended
	ended time.Time
}

// Adopt returns the handle of the run that was started last in keep. See [driver.Adopter].
func (Driver) Adopt(keep string) (driver.Kept, error) {
	for end := time.Now().Add(adoptTime); ; time.Sleep(lookPause) {
		held, err := locked(keep)
		if err != nil {
			return nil, err
		}
		s, err := readState(keep)
		switch {
		case err == nil:
			return attach(keep, s)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("adopt a workload: %w", err)
		case !held:
			return neverRan(keep)
		case time.Now().After(end):
			return nil, fmt.Errorf("adopt a workload: its monitor in %s does not say what it runs", keep)
		}
	}
}

// neverRan is what is known of a run that has no state: nothing, unless its shim was killed before it
// had written one.
func neverRan(keep string) (driver.Kept, error) {
	o, err := readOrder(keep)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("adopt a workload: %w", err)
	}
	if e, err := readEnding(keep, o.Run); err == nil {
		return over(keep, state{Run: o.Run}, e.exit(), e.Ended), nil
	}
	endUnknown(keep)
	return nil, fmt.Errorf("%w: %s", driver.ErrGone, keep)
}

// attach returns the handle of a run.
func attach(keep string, s state) (*workload, error) {
	if now := boot.ID(); s.Boot != now || now == "" { // all numbers in the state are of another time
		e, err := readEnding(keep, s.Run)
		if err != nil {
			return over(keep, s, driver.Exit{Code: -1}, time.Time{}), nil
		}
		return over(keep, s, e.exit(), e.Ended), nil
	}
	w := &workload{
		keep: keep, state: s,
		released: make(chan struct{}), watched: make(chan struct{}), done: make(chan struct{}),
	}
	fd, err := s.Guard.Open()
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that no thread waits for it
		w.guard = os.NewFile(uintptr(fd), "pidfd")
	}
	w.gone = w.guard == nil
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("look at the monitor of a workload: %w", err)
	}
	go w.watch()
	return w, nil
}

// over is the handle of a run that has ended.
func over(keep string, s state, exit driver.Exit, ended time.Time) *workload {
	w := &workload{keep: keep, state: s, exit: exit, ended: ended}
	w.released, w.watched, w.done = make(chan struct{}), make(chan struct{}), make(chan struct{})
	close(w.watched)
	close(w.done)
	return w
}

// watch waits for the end of the run, or until the handle is released.
func (w *workload) watch() {
	defer close(w.watched)
	if w.guard != nil {
		ended := w.waitGuard()
		w.leaveGuard()
		if !ended {
			return
		}
	}
	if w.settle() {
		close(w.done)
	}
}

// leaveGuard gives up the descriptor of the guard.
func (w *workload) leaveGuard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	if w.force != nil {
		w.force.Stop()
	}
	_ = w.guard.Close()
}

// waitGuard returns true when the guard has ended, and false when the handle is released.
func (w *workload) waitGuard() bool {
	conn, err := w.guard.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := unix.Poll(poll, 0)
		if ended = n > 0; ended {
			_ = unix.Waitid(unix.P_PIDFD, int(fd), nil, unix.WEXITED|unix.WNOHANG, nil) // it may be a child of ours
		}
		return ended
	})
	return ended && err == nil
}

// settle finds out how the run ended, after its guard has, and ends what is left of it. It returns false
// when the handle is released first.
func (w *workload) settle() bool {
	free, ok := w.waitFree(lostTime)
	if ok && !free {
		_ = w.state.Shim.Kill() // it hangs
		free, ok = w.waitFree(leaveTime)
	}
	if !ok {
		return false
	}
	e, err := readEnding(w.keep, w.state.Run)
	switch {
	case err == nil:
		w.exit, w.ended = e.exit(), e.Ended
	case free: // nobody has looked after it
		w.exit = driver.Exit{Code: -1, Lost: true}
		_ = w.state.tree().Kill() // what does not end is found by Sweep
		e := endingOf(w.state.Run, w.exit)
		_ = write(w.keep, exitFile, e, maxFile)
		w.ended = e.Ended
	default: // the state does not name those who run it: nobody is signalled
		w.exit = driver.Exit{Code: -1}
	}
	return true
}

// waitFree waits until neither guard nor shim lives; ok is false when the handle is released.
func (w *workload) waitFree(most time.Duration) (free, ok bool) {
	for end := time.Now().Add(most); ; {
		held, err := locked(w.keep)
		if err == nil && !held {
			return true, true
		}
		if time.Now().After(end) {
			return false, true
		}
		select {
		case <-w.released:
			return false, false
		case <-time.After(lookPause):
		}
	}
}

func (w *workload) PID() int              { return w.state.Workload.PID }
func (w *workload) Done() <-chan struct{} { return w.done }
func (w *workload) Started() time.Time    { return w.state.Started }

func (w *workload) isDone() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func (w *workload) Exit() driver.Exit {
	if !w.isDone() {
		return driver.Exit{}
	}
	return w.exit
}

func (w *workload) Ended() time.Time {
	if !w.isDone() {
		return time.Time{}
	}
	return w.ended
}

func (w *workload) Release() {
	w.release.Do(func() {
		close(w.released)
		if w.guard != nil {
			_ = w.guard.SetReadDeadline(time.Unix(1, 0))
		}
	})
	<-w.watched
}

func (w *workload) Stop(ctx context.Context, grace time.Duration) error {
	if w.isDone() {
		return nil
	}
	if err := w.ask(grace); err != nil {
		return fmt.Errorf("stop process %d: %w", w.PID(), err)
	}
	select {
	case <-w.done:
		return nil
	case <-w.watched:
		if w.isDone() {
			return nil
		}
		return fmt.Errorf("stop process %d: %w", w.PID(), errReleased)
	case <-ctx.Done():
		return fmt.Errorf("stop process %d: %w", w.PID(), ctx.Err())
	}
}

// ask has the guard stop the workload, unless it was asked to do so sooner.
func (w *workload) ask(grace time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := time.Now().Add(grace)
	if w.gone || !w.until.IsZero() && !end.Before(w.until) {
		return nil
	}
	// Where this cannot be written the workload is stopped within the default grace.
	_ = write(w.keep, stopFile, stop{version, w.state.Run, grace.Milliseconds()}, maxFile)
	conn, err := w.guard.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.SIGTERM, nil, 0) })
	if err = errors.Join(err, sent); err != nil && !errors.Is(err, unix.ESRCH) { // that is: it has ended
		return err
	}
	w.until = end
	if w.force != nil {
		w.force.Stop()
	}
	w.force = time.AfterFunc(grace+stuckTime, w.killMonitor)
	return nil
}

// killMonitor kills guard and shim that do not do what they were asked, as those that somebody has halted.
// What they leave is ended by settle.
func (w *workload) killMonitor() {
	_ = w.state.Shim.Kill()
	_ = w.state.Guard.Kill()
}

func (w *workload) Stats(ctx context.Context) (driver.Stats, error) {
	if w.isDone() {
		return driver.Stats{}, nil
	}
	return w.state.tree().Stats(ctx)
}
