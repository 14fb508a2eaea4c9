package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	commands "github.com/seed-b490fa12/swarm/ops/run" // run is a word of this package
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// statusEvery is how often a running miner is asked for its status.
	statusEvery = time.Second
	// startingEvery is how often while it has not said anything yet.
	startingEvery = 50 * time.Millisecond
	// statusTime is how long an answer may take.
	statusTime = 2 * time.Second
	// maxSilent is how many answers in a row may be missing before the last numbers count no more.
	maxSilent = 2
	// maxReason bounds what is told of why a state is no good one, in bytes.
	maxReason = 300
)

// workload is one name: what ran under it last, or runs now, and its log. On disk it is a directory
// with the record, the log, and the files of the miner.
type workload struct {
	name, dir string
	disk      shelf
	svc       *Service
	log       *logs.Log
	turn      chan struct{} // holds one token: who takes it may start and stop

	mu       sync.Mutex
	forgot   bool          // guarded by mu: taken off the service, as it never ran
	run      *run          // guarded by mu: nil when stopped or failed
	adopted  *adopted      // guarded by mu: what the last agent has left running, until the service runs
	last     string        // guarded by mu: ID of the run that began last, empty for one of an earlier agent
	begins   chan struct{} // guarded by mu: closed, and replaced, when a run begins
	failed   bool          // guarded by mu: given up for now, see RestartPolicy
	why      string        // guarded by mu: it failed
	ended    bool          // guarded by mu: by itself, and is not started again
	pid      int           // guarded by mu: of the first process; 0 when none runs
	limits   Limits        // guarded by mu: that the kernel holds that process to
	status   miner.Status  // guarded by mu: as last told by the miner
	silent   int           // guarded by mu: answers in a row that the miner did not give
	started  time.Time     // guarded by mu: of the process; zero when none runs
	restarts int64         // guarded by mu
	exit     *driver.Exit  // guarded by mu: of the last process, nil when unknown
}

// run is the time from a start to the stop, with all restarts in between.
type run struct {
	id      string // no other run of any agent has it
	from    int64  // the offset in the log where it begins
	job     job
	limits  Limits // of the last process, set before it is started
	cancel  context.CancelFunc
	stopped <-chan struct{} // closed when it was asked to stop
	died    chan struct{}   // closed when the first process ends
	done    chan struct{}   // closed when nothing of it is left, or it goes on without this service
	asked   atomic.Bool     // somebody has asked it to stop
	left    atomic.Bool     // it goes on without this service
}

// newWorkload opens what is on disk, or makes it.
func (s *Service) newWorkload(name string) (*workload, error) {
	w := &workload{name: name, dir: filepath.Join(s.workloadsDir(), name), svc: s, turn: make(chan struct{}, 1), begins: make(chan struct{})}
	w.disk.dir, w.disk.log = w.dir, s.cfg.Logger.With("workload", name)
	if _, ok := s.cfg.Driver.(driver.Adopter); ok {
		w.log = logs.Beside(w.logDir()) // the driver writes it
	} else {
		var err error
		if w.log, err = logs.Open(w.logDir(), s.cfg.Logs); err != nil {
			return nil, fmt.Errorf("workload %s: %w", name, err)
		}
	}
	w.disk.read()
	return w, nil
}

func (w *workload) runDir() string  { return filepath.Join(w.dir, "run") }
func (w *workload) keepDir() string { return filepath.Join(w.dir, "keep") }
func (w *workload) logDir() string  { return filepath.Join(w.dir, "log") }

// removeFiles removes the files of a run, which hold its secrets.
func (w *workload) removeFiles() {
	if err := errors.Join(os.RemoveAll(w.runDir()), os.RemoveAll(w.keepDir())); err != nil {
		w.svc.cfg.Logger.Error("files of a workload could not be removed", "workload", w.name, "err", err)
	}
}

// take waits for the turn to start or stop.
func (w *workload) take(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another command on %s: %w", w.name, ctx.Err())
	}
}

func (w *workload) release() { <-w.turn }

// current returns the run, nil when there is none.
func (w *workload) current() *run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run
}

// beginRun makes r the run of the workload.
func (w *workload) beginRun(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run, w.last, w.failed, w.why, w.ended, w.restarts = r, r.id, false, "", false, 0
	close(w.begins)
	w.begins = make(chan struct{})
}

// runs returns the run, nil when there is none, the ID of the last one, and what is closed when the
// next one begins.
func (w *workload) runs() (now *run, last string, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run, w.last, w.begins
}

// proc is one process of a run, with its output.
type proc struct {
	driver.Workload
	started time.Time
	out     []*logs.Writer
}

// launch starts a process for the run.
func (w *workload) launch(ctx context.Context, r *run) (*proc, error) {
	var err error
	if r.limits, err = limitsOf(w.svc, r.job); err != nil {
		return nil, err
	}
	spec, err := r.job.render(ctx, w.runDir(), r.limits)
	if err != nil {
		return nil, err
	}
	p := &proc{started: time.Now()}
	if _, ok := w.svc.cfg.Driver.(driver.Adopter); ok {
		spec.Keep, spec.Log, spec.LogConfig = w.keepDir(), w.logDir(), w.svc.cfg.Logs
		if err := w.disk.note(r); err != nil {
			return nil, err
		}
	} else {
		stdout, stderr := w.log.Writer(logs.Stdout), w.log.Writer(logs.Stderr)
		spec.Stdout, spec.Stderr, p.out = stdout, stderr, []*logs.Writer{stdout, stderr}
	}
	if p.Workload, err = w.svc.cfg.Driver.Start(spec); err != nil {
		return nil, commands.StartError(spec.Argv[0], err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started, w.pid, w.limits = p.started, p.PID(), r.limits
	w.status, w.silent = miner.Status{State: miner.Starting}, 0
	return p, nil
}

// limitsOf returns the limits that a job gets here: those that were asked for, within what the owner allows.
func limitsOf(s *Service, j job) (Limits, error) {
	l, err := s.cfg.Policy().Limits(driver.Limits(j.limits()))
	if err != nil {
		return Limits{}, streams.Errorf(streams.CodeRefused, "%v", oneLine(err))
	}
	return Limits(l), nil
}

// processEnded takes the end of a process into the state and its last words into the log.
func (w *workload) processEnded(p *proc) {
	for _, out := range p.out {
		_ = out.Close() // it writes to the log, which counts what it loses
	}
	exit := p.Exit()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exit, w.started, w.pid = &exit, time.Time{}, 0
	w.status = miner.Status{State: miner.Degraded, Reason: "its process ended: " + exit.String()}
}

// supervise keeps a run alive from its first process on, until ctx ends or it is given up.
func (w *workload) supervise(ctx context.Context, r *run, p *proc) (failed bool) {
	log := w.svc.cfg.Logger.With("workload", w.name)
	d := deaths{policy: w.svc.cfg.Restart}
	for p != nil && !failed {
		w.watch(ctx, r, p)
		asked := ctx.Err() != nil
		if asked && leave(w, r, p) {
			return false
		}
		if err := p.Stop(context.WithoutCancel(ctx), w.svc.cfg.Grace); err != nil {
			log.Error("workload did not stop", "err", err)
		}
		w.processEnded(p)
		if asked {
			break
		}
		log.Warn("workload ended by itself", "exit", p.Exit().String())
		closeOnce(r.died)
		if !r.job.again(p.Exit()) {
			w.over()
			break
		}
		p, failed = w.again(ctx, r, &d, time.Since(p.started))
	}
	w.finish(r, failed)
	return failed
}

// again starts the next process after a pause; none when ctx ended, failed when it is given up.
func (w *workload) again(ctx context.Context, r *run, d *deaths, ran time.Duration) (next *proc, failed bool) {
	for {
		pause, again := d.add(time.Now(), ran)
		if !again {
			return nil, true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, false
		}
		w.mu.Lock()
		w.restarts++
		w.mu.Unlock()
		p, err := w.launch(ctx, r)
		if err == nil {
			return p, false
		}
		if ctx.Err() != nil {
			return nil, false
		}
		w.svc.cfg.Logger.Error("workload does not start again", "workload", w.name, "err", err)
		ran = 0
	}
}

// finish ends a run, after its last process. The miner's files go, as they hold its secrets.
func (w *workload) finish(r *run, failed bool) {
	r.cancel()
	w.removeFiles()
	w.mu.Lock()
	w.run, w.started = nil, time.Time{}
	w.mu.Unlock()
	if failed {
		w.fail(w.lastWords())
	}
	closeOnce(r.died)
	close(r.done)
	state := miner.Stopped
	if failed {
		state = miner.Failed
	}
	w.svc.cfg.Logger.Info("workload ended", "workload", w.name, "state", string(state))
}

// closeOnce is for a channel that one goroutine alone closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// watch asks the miner how it goes until the process or ctx ends.
func (w *workload) watch(ctx context.Context, r *run, p *proc) {
	for {
		wait := statusEvery
		if w.ask(ctx, r) == miner.Starting {
			wait = startingEvery
		}
		select {
		case <-p.Done():
			return
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *workload) ask(ctx context.Context, r *run) miner.State {
	asked, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	status, err := r.job.status(asked, w.runDir())
	if ctx.Err() != nil {
		return status.State // it is being stopped
	}
	if err != nil && status.Reason == "" {
		status.Reason = err.Error()
	}
	if len(status.Algorithm) > miner.MaxAlgorithm || len(status.Pool) > miner.MaxPool {
		status.Algorithm, status.Pool = "", "" // a miner may say anything, but stats must stay small
	}
	status.Reason = shortened(status.Reason)
	before, now := w.told(status, err)
	w.logState(before, now, err)
	return now.State
}

// told takes what the miner said. A miner that is silent once or twice still counts as what it was:
// an answer may be cut off, or late.
func (w *workload) told(status miner.Status, err error) (before, now miner.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before = w.status
	switch {
	case err == nil:
		w.silent = 0
	case w.silent < maxSilent && before.HashRate != nil:
		w.silent++
		return before, before
	}
	w.status = status
	return before, status
}

// logState tells once when a miner stops doing its work, and when it does it again.
func (w *workload) logState(before, now miner.Status, err error) {
	log := w.svc.cfg.Logger.With("workload", w.name)
	switch was, is := before.State == miner.Degraded, now.State == miner.Degraded; {
	case is && (!was || before.Reason == "" && now.Reason != ""):
		log.Warn("miner does not do its work", "state", string(now.State), "reason", now.Reason)
	case was && !is:
		log.Info("miner does its work again", "state", string(now.State))
	case err != nil:
		log.Debug("miner does not tell its status", "err", err)
	}
}

// shortened makes what a miner or a pool said fit into stats: one line of text, not too long.
func shortened(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return !unicode.IsPrint(r) }), " ")
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason-len("…")], "") + "…"
}

// stats is the workload as others see it.
func (w *workload) stats() Workload {
	rec := w.disk.kept()
	w.mu.Lock()
	defer w.mu.Unlock()
	st := Workload{
		Name: w.name, Kind: rec.Kind, State: w.state(), Algorithm: rec.Algorithm, Pool: rec.Pool,
		Restarts: w.restarts,
	}
	if w.run == nil {
		st.Reason = w.why
		return st
	}
	if w.pid > 0 {
		st.Limits = w.limits
	}
	st.HashRate, st.SharesAccepted, st.SharesRejected = w.status.HashRate, w.status.SharesAccepted, w.status.SharesRejected
	if st.State != miner.Mining && st.State != miner.Running {
		st.Reason = w.status.Reason
	}
	if w.status.Algorithm != "" {
		st.Algorithm = w.status.Algorithm
	}
	if w.status.Pool != "" {
		st.Pool = w.status.Pool
	}
	if !w.started.IsZero() {
		up := time.Since(w.started).Seconds()
		st.UptimeSeconds = &up
	}
	if pid := w.pid; pid > 0 {
		st.PID = &pid
	}
	return st
}

// state needs mu.
func (w *workload) state() miner.State {
	switch {
	case w.run != nil:
		return w.status.State
	case w.failed:
		return miner.Failed
	case w.ended:
		return miner.Ended
	}
	return miner.Stopped
}

// ack is the answer to a command.
func (w *workload) ack() MinerAck {
	st := w.stats()
	return MinerAck{
		Name: w.name, Running: st.State.Runs(), State: st.State,
		HashRate: st.HashRate, Algorithm: st.Algorithm,
	}
}

// workloadAck is the answer to a command about one that is no miner.
func (w *workload) workloadAck() WorkloadAck {
	st := w.stats()
	return WorkloadAck{Name: w.name, Running: st.State.Runs(), State: st.State, PID: st.PID}
}

// how is the way a workload ended, in the words that go on after "it ended".
func how(e driver.Exit) string {
	if e.OutOfMemory || e.Lost {
		return ": " + e.String()
	}
	return " with " + e.String()
}

// over notes that the workload ended by itself, and is not started again.
func (w *workload) over() {
	w.mu.Lock()
	exit := *w.exit
	w.ended, w.why = true, "it ended"+how(exit)
	w.mu.Unlock()
	w.disk.keepEnd(exit)
}
