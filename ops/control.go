package ops

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
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
	adapter, spec, err := s.resolve(req)
	if err != nil {
		return MinerAck{}, err
	}
	w, err := s.takeWorkload(ctx, spec.Name)
	if err != nil {
		return MinerAck{}, err
	}
	defer w.release()
	r := w.current()
	if r != nil && isClosed(r.stopped) { // a stop is under way whose caller has left
		if err := wait(ctx, r.done); err != nil {
			return MinerAck{}, err
		}
		r = nil
	}
	if r != nil {
		switch same := r.adapter.Name() == adapter.Name() && reflect.DeepEqual(r.spec, spec); {
		case same:
			return w.ack(), nil
		case req.Replace:
			return w.replace(ctx, r, adapter, spec)
		}
		return MinerAck{}, streams.Errorf(streams.CodeConflict,
			"%s runs with other settings: replace it, stop it first, or start this one under another name", w.name)
	}
	return w.begin(ctx, adapter, spec)
}

// StopMiner stops a workload. When it returns without error, nothing of the workload runs.
func (s *Service) StopMiner(ctx context.Context, req StopRequest) (MinerAck, error) {
	w, err := s.toStop(req)
	if err != nil {
		return MinerAck{}, err
	}
	if err := w.take(ctx); err != nil {
		return MinerAck{}, err
	}
	defer w.release()
	if err := w.want(nil); err != nil {
		return MinerAck{}, errNotKept(err)
	}
	if r := w.current(); r != nil {
		r.cancel()
		if err := wait(ctx, r.done); err != nil {
			return MinerAck{}, err
		}
	}
	w.mu.Lock()
	w.failed, w.why = false, ""
	w.mu.Unlock()
	return w.ack(), nil
}

// errNotKept says that the disk did not take what a command says.
func errNotKept(err error) error {
	var why error = errors.New("its disk does not take it")
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		why = e
	}
	return streams.Errorf(streams.CodeUnavailable, "this machine cannot keep that, and goes on as before: %w", why)
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
func (s *Service) resolve(req StartRequest) (miner.Adapter, miner.Spec, error) {
	adapter := s.adapters[req.Miner]
	if adapter == nil {
		return nil, miner.Spec{}, streams.Errorf(streams.CodeNotFound, "no miner %q; there are: %s", req.Miner, s.kinds())
	}
	threads, err := threadsFor(req, runtime.NumCPU())
	if err != nil {
		return nil, miner.Spec{}, err
	}
	if threads, err = s.police(req, threads); err != nil {
		return nil, miner.Spec{}, err
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
			return nil, miner.Spec{}, streams.Errorf(streams.CodeInvalid, "config: %v", err)
		}
	}
	return adapter, spec, nil
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
func (w *workload) begin(ctx context.Context, adapter miner.Adapter, spec miner.Spec) (MinerAck, error) {
	r, err := w.startRun(ctx, adapter, spec)
	if err != nil {
		return MinerAck{}, w.startError(adapter.Name(), err)
	}
	if err := w.up(ctx, r); err != nil {
		return MinerAck{}, err
	}
	if err := w.want(wanted(adapter, spec)); err != nil {
		r.cancel()
		return MinerAck{}, errors.Join(errNotKept(err), wait(ctx, r.done))
	}
	return w.ack(), nil
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
	w.failed, w.why = true, "it ended with "+w.exit.String()+" as soon as it was started"
	return streams.Errorf(streams.CodeInternal, "%s ended with %s as soon as it was started; get_logs %s tells why",
		w.name, w.exit, w.name)
}

// startRun starts the first process and the goroutine that looks after it.
func (w *workload) startRun(ctx context.Context, adapter miner.Adapter, spec miner.Spec) (*run, error) {
	info, err := adapter.Detect(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(w.runDir()), os.MkdirAll(w.runDir(), 0o700)); err != nil {
		return nil, fmt.Errorf("make directory for %s: %w", w.name, err)
	}
	r := &run{id: rand.Text(), from: w.log.End(), adapter: adapter, spec: spec, died: make(chan struct{}), done: make(chan struct{})}
	p, err := w.launch(ctx, r)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	r.cancel, r.stopped = cancel, life.Done()
	w.beginRun(r)
	err = w.keep(record{Kind: adapter.Name(), Algorithm: spec.Algorithm, Pool: spec.Pool, Wanted: w.kept().Wanted})
	if err == nil {
		err = w.svc.spawn(func(service context.Context) {
			defer context.AfterFunc(service, cancel)()
			if w.supervise(life, r, p) {
				w.comeBack(service, w.svc.cfg.Restart.Slow)
			}
		})
	}
	if err != nil {
		err = errors.Join(err, p.Stop(context.WithoutCancel(ctx), 0))
		w.ended(p)
		w.finish(r, false)
		return nil, err
	}
	w.svc.cfg.Logger.Info("workload started", "workload", w.name, "kind", adapter.Name(), "version", info.Version, "pid", p.PID())
	return r, nil
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
	w.mu.Lock()
	w.forgot = w.record.Kind == ""
	forgot := w.forgot
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
