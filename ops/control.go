package ops

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// upTime is how long an answer waits for the first word of a new miner.
const upTime = 3 * time.Second

// StartMiner starts what is asked, unless it runs already. It returns once the process is up.
func (s *Service) StartMiner(ctx context.Context, req StartRequest) (MinerAck, error) {
	req, err := completed(s, req)
	if err != nil {
		return MinerAck{}, err
	}
	j, err := s.resolve(req)
	if err != nil {
		return MinerAck{}, err
	}
	w, err := s.startJob(ctx, cmp.Or(req.Name, req.Miner), j, req.Replace)
	if err != nil {
		return MinerAck{}, err
	}
	return w.ack(), nil
}

// startJob runs a job under that name, unless it runs already.
func (s *Service) startJob(ctx context.Context, name string, j job, replace bool) (*workload, error) {
	w, err := s.takeWorkload(ctx, name)
	if err != nil {
		return nil, err
	}
	defer w.release()
	r := w.current()
	if r != nil && isClosed(r.stopped) { // a stop is under way whose caller has left
		if err := wait(ctx, r.done); err != nil {
			return nil, err
		}
		r = nil
	}
	switch {
	case r == nil:
		return w, w.begin(ctx, j)
	case same(r.job, j):
		return w, nil
	case replace:
		return w, w.replace(ctx, r, j)
	}
	return nil, streams.Errorf(streams.CodeConflict,
		"%s runs with other settings: replace it, stop it first, or start this one under another name", w.name)
}

// StopMiner stops a workload. When it returns without error, nothing of the workload runs.
func (s *Service) StopMiner(ctx context.Context, req StopRequest) (MinerAck, error) {
	w, err := s.toStop(req)
	if err != nil {
		return MinerAck{}, err
	}
	if !w.disk.kept().miner() {
		return MinerAck{}, streams.Errorf(streams.CodeConflict, "%s is no miner: stop_workload stops it", w.name)
	}
	if err := w.stop(ctx); err != nil {
		return MinerAck{}, err
	}
	return w.ack(), nil
}

// stop ends what runs, and has nothing wanted from then on.
func (w *workload) stop(ctx context.Context) error {
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.release()
	if err := w.disk.want(nil); err != nil {
		return errNotKept(err)
	}
	if r := w.current(); r != nil {
		r.asked.Store(true)
		r.cancel()
		if err := wait(ctx, r.done); err != nil {
			return err
		}
		if r.left.Load() {
			return errNotRunning() // the next service finds that it is not wanted
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed, w.ended, w.why = false, false, ""
	return nil
}

// errNotKept says that the disk did not take what a command says.
func errNotKept(err error) error {
	var why error = errors.New("its disk does not take it")
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		why = e
	}
	return streams.Errorf(streams.CodeUnavailable, "this machine cannot keep that, and goes on as before: %w", why)
}

// StartWorkload starts what is asked, unless it runs already. It returns once the process is up.
func (s *Service) StartWorkload(ctx context.Context, req WorkloadRequest) (WorkloadAck, error) {
	j, err := command(s, req)
	if err != nil {
		return WorkloadAck{}, err
	}
	w, err := s.startJob(ctx, req.Name, j, false)
	if err != nil {
		return WorkloadAck{}, err
	}
	return w.workloadAck(), nil
}

// StopWorkload stops a workload. When it returns without error, nothing of the workload runs.
func (s *Service) StopWorkload(ctx context.Context, req NameRequest) (WorkloadAck, error) {
	w, err := s.find(req.Name)
	if err != nil {
		return WorkloadAck{}, err
	}
	if w.disk.kept().miner() {
		return WorkloadAck{}, streams.Errorf(streams.CodeConflict, "%s is a miner: stop_miner stops it", w.name)
	}
	if err := w.stop(ctx); err != nil {
		return WorkloadAck{}, err
	}
	return w.workloadAck(), nil
}

// toStop finds what a request to stop means.
func (s *Service) toStop(req StopRequest) (*workload, error) {
	if req.Name != "" {
		return s.find(req.Name)
	}
	w, err := onlyRunning(s)
	if streams.CodeOf(err) == streams.CodeNotFound {
		if all := allWorkloads(s); len(all) == 1 { // which has stopped by itself, or by the same request
			return all[0], nil
		}
	}
	return w, err
}

// resolve turns a request into what to run here, or says why it may not run.
func (s *Service) resolve(req StartRequest) (job, error) {
	adapter := s.adapters[req.Miner]
	if adapter == nil {
		return nil, streams.Errorf(streams.CodeNotFound, "no miner %q; there are: %s", req.Miner, s.kinds())
	}
	threads, err := threadsFor(req, runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	if threads, err = s.police(req, threads); err != nil {
		return nil, err
	}
	spec := miner.Spec{
		Name: req.Name, Algorithm: req.Algorithm, Threads: threads, Pool: req.Pool, Wallet: req.Wallet, Password: req.Password,
	}
	if spec.Name == "" {
		spec.Name = req.Miner
	}
	if len(req.Config) > 0 {
		spec.Config = req.Config.Clone()
		if err := spec.Config.Canonicalize(); err != nil { // so that the same settings compare as the same
			return nil, streams.Errorf(streams.CodeInvalid, "config: %v", err)
		}
	}
	return minerJob{adapter, spec}, nil
}

// police asks the owner's policy. It returns how many threads the miner gets.
func (s *Service) police(req StartRequest, threads int) (int, error) {
	p := s.cfg.Policy()
	if err := p.CheckMiner(req.Miner); err != nil {
		return 0, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	err := errors.Join(p.CheckPool(req.Pool), p.CheckWallet(req.Wallet))
	if len(req.Config) > 0 { // which may name any
		err = errors.Join(err, p.CheckPool(""), p.CheckWallet(""))
	}
	if err == nil {
		threads, err = p.Threads(threads)
	}
	if err != nil {
		return 0, streams.Errorf(streams.CodeRefused, "%v", oneLine(err))
	}
	return threads, nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// threadsFor is the number of threads asked for, 0 to leave it to the miner.
func threadsFor(req StartRequest, processors int) (int, error) {
	if req.Threads > processors {
		return 0, streams.Errorf(streams.CodeRefused, "%d threads asked, this machine has %d processors: ask for fewer, or for none, and the miner chooses",
			req.Threads, processors)
	}
	switch req.Profile {
	case "":
		return req.Threads, nil
	case "eco":
		return max(1, processors/4), nil
	case "balanced":
		return max(1, processors/2), nil
	case "full":
		return processors, nil
	}
	return 0, streams.Errorf(streams.CodeRefused, "no profile %q; there are: eco, balanced, full", req.Profile)
}

// takeWorkload obtains the workload and the turn to change it.
func (s *Service) takeWorkload(ctx context.Context, name string) (*workload, error) {
	for {
		w, err := s.obtain(name)
		if err != nil {
			return nil, err
		}
		if err := w.take(ctx); err != nil {
			return nil, err
		}
		w.mu.Lock()
		forgot := w.forgot
		w.mu.Unlock()
		if !forgot {
			return w, nil
		}
		w.release() // its first start failed while we waited: begin with a new one
	}
}

// begin starts a stopped workload, and has it wanted from then on; the caller has the turn.
func (w *workload) begin(ctx context.Context, j job) error {
	r, err := w.startRun(ctx, j)
	if err != nil {
		return w.startError(j.kind(), err)
	}
	if err := w.up(ctx, r); err != nil {
		return err
	}
	if err := w.disk.want(j.wanted()); err != nil {
		r.cancel()
		return errors.Join(errNotKept(err), wait(ctx, r.done))
	}
	return nil
}

// up waits for the first word of a new miner, for a time. It fails where the process has ended by then.
func (w *workload) up(ctx context.Context, r *run) error {
	up := time.NewTimer(upTime)
	defer up.Stop()
	for w.ack().State == miner.Starting {
		select {
		case <-time.After(startingEvery):
		case <-up.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-r.died:
			return w.giveUp(ctx, r)
		}
	}
	if isClosed(r.died) {
		return w.giveUp(ctx, r)
	}
	return nil
}

// giveUp ends a run whose first process died before it was up: nobody is helped by trying that
// again.
func (w *workload) giveUp(ctx context.Context, r *run) error {
	r.cancel()
	if err := wait(ctx, r.done); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended { // it has done what it was for
		return nil
	}
	w.failed, w.why = true, "it ended"+how(*w.exit)+" as soon as it was started"
	return streams.Errorf(streams.CodeInternal, "%s ended%s as soon as it was started; get_logs %s tells why",
		w.name, how(*w.exit), w.name)
}

// startRun starts the first process and the goroutine that looks after it.
func (w *workload) startRun(ctx context.Context, j job) (*run, error) {
	version, err := j.detect(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(w.runDir()), os.MkdirAll(w.runDir(), 0o700)); err != nil {
		return nil, fmt.Errorf("make directory for %s: %w", w.name, err)
	}
	r, life := w.newRun(j)
	p, err := w.launch(ctx, r)
	if err != nil {
		r.cancel()
		return nil, err
	}
	w.beginRun(r)
	if err = w.disk.begun(j); err == nil {
		err = w.lookAfter(life, r, p)
	}
	if err != nil {
		err = errors.Join(err, p.Stop(context.WithoutCancel(ctx), 0))
		w.processEnded(p)
		w.finish(r, false)
		return nil, err
	}
	w.svc.cfg.Logger.Info("workload started", "workload", w.name, "kind", j.kind(), "version", version, "pid", p.PID())
	return r, nil
}

// newRun returns a run of the job that has no process yet, and the context that ends with it.
func (w *workload) newRun(j job) (*run, context.Context) {
	r := &run{id: rand.Text(), from: w.log.End(), job: j, died: make(chan struct{}), done: make(chan struct{})}
	life, cancel := context.WithCancel(context.Background())
	r.cancel, r.stopped = cancel, life.Done()
	return r, life
}

// lookAfter starts the goroutine that looks after a run from its first process on.
func (w *workload) lookAfter(life context.Context, r *run, p *proc) error {
	return w.svc.spawn(func(service context.Context) {
		defer context.AfterFunc(service, r.cancel)()
		if w.supervise(life, r, p) {
			w.comeBack(service, w.svc.cfg.Restart.Slow)
		}
	})
}

// notInstalled says that the program of a miner is not there, and where it was looked for.
func notInstalled(kind string, err error) string {
	looked := ""
	if n, ok := errors.AsType[*miner.NotInstalled](err); ok {
		looked = " (" + n.Looked + ")"
	}
	return fmt.Sprintf("%s is not installed on this machine%s; its owner installs it there: it is never downloaded", kind, looked)
}

// startError puts a failed start into words for the caller, and takes back a workload that never
// ran.
func (w *workload) startError(kind string, err error) error {
	forgot := w.disk.kept().Kind == ""
	w.mu.Lock()
	w.forgot = forgot
	w.mu.Unlock()
	if forgot {
		err = errors.Join(err, w.svc.forget(w))
	}
	var refusal *miner.Refusal
	switch {
	case errors.As(err, &refusal):
		return streams.Errorf(streams.CodeRefused, "%s", refusal.Reason)
	case errors.Is(err, miner.ErrNotInstalled):
		return streams.Errorf(streams.CodeRefused, "%s", notInstalled(kind, err))
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e
	}
	return fmt.Errorf("start %s: %w", w.name, err)
}

// wait waits for a channel to close.
func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the workload to end: %w", ctx.Err())
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
