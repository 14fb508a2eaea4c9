package ops

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// adopted is what the last service has left of a workload: it runs, or has ended since.
type adopted struct {
	driver.Kept
	workload *workload
}

// adopt takes hold of what the last service has left of a workload, for goOn. The error says that there
// is nothing.
func adopt(w *workload) error {
	d, ok := w.svc.cfg.Driver.(driver.Adopter)
	if !ok {
		return driver.ErrGone
	}
	kept, err := d.Adopt(w.keepDir())
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adopted = &adopted{kept, w}
	return nil
}

// goOn goes on with what was adopted, and reports whether there was something. What is not wanted, or
// not allowed any more, is stopped.
func goOn(w *workload) bool {
	w.mu.Lock()
	a := w.adopted
	w.adopted = nil
	w.mu.Unlock()
	if a == nil {
		return false
	}
	j, n, why := a.wanted()
	if why == "" {
		a.run(j, n)
		return true
	}
	// It fails only where the service is at its end already.
	_ = w.svc.spawn(func(life context.Context) { a.end(life, why) })
	return true
}

// run makes it the run of its workload.
func (a *adopted) run(j job, n note) {
	w := a.workload
	r, life := w.newRun(j)
	r.id, r.from, r.limits = n.Run, n.From, n.Limits
	w.beginRun(r)
	p := &proc{Workload: a.Kept, started: a.Started()}
	w.mu.Lock()
	w.started, w.pid, w.limits, w.status = p.started, p.PID(), n.Limits, miner.Status{State: miner.Starting}
	w.mu.Unlock()
	if err := w.lookAfter(life, r, p); err != nil {
		a.Release()
		return
	}
	w.svc.cfg.Logger.Info("workload goes on", "workload", w.name, "pid", p.PID(), "since", p.started)
}

// wanted returns what the workload shall do, with what is known of its run, or why what runs shall not.
func (a *adopted) wanted() (j job, n note, why string) {
	req := a.workload.disk.kept().Wanted
	if req == nil {
		return nil, n, "it is not wanted"
	}
	n, ok := a.workload.disk.noted(req)
	if !ok {
		return nil, n, "something else is wanted"
	}
	j, err := jobFor(a.workload.svc, *req)
	if err != nil {
		return nil, n, a.workload.failure(err)
	}
	return j, n, ""
}

// end stops what shall not run, and starts what shall.
func (a *adopted) end(life context.Context, why string) {
	w := a.workload
	w.svc.cfg.Logger.Warn("what the last worker has left running is stopped", "workload", w.name, "why", why)
	if err := w.take(life); err != nil {
		a.Release()
		return
	}
	err := a.Stop(context.WithoutCancel(life), w.svc.cfg.Grace)
	w.release()
	if err != nil {
		w.svc.cfg.Logger.Error("workload did not stop", "workload", w.name, "err", err)
		return
	}
	w.removeFiles()
	if w.disk.kept().Wanted != nil {
		w.comeBack(life, 0)
	}
}

// leave has a process go on without this service, where it shall, and reports whether it does.
func leave(w *workload, r *run, p *proc) bool {
	kept, ok := p.Workload.(driver.Kept)
	if !ok || r.asked.Load() || !ending(w.svc) || !w.svc.cfg.GoesOn() {
		return false
	}
	r.left.Store(true)
	kept.Release()
	w.mu.Lock()
	w.run = nil
	w.mu.Unlock()
	close(r.done)
	w.svc.cfg.Logger.Info("workload goes on without the worker", "workload", w.name, "pid", p.PID(), "up", time.Since(p.started).Round(time.Second))
	return true
}

// ending reports whether the service is at its end.
func ending(s *Service) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life == nil || s.life.Err() != nil
}

// EndLeft ends what the last service of a directory has left running, at once, and returns how many
// processes that were. Where a service uses the directory the error is ErrInUse, and nothing ends.
func EndLeft(dir string) (killed int, err error) {
	s := &Service{cfg: Config{Dir: dir}.withDefaults()}
	if _, err := os.Stat(s.workloadsDir()); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err := s.takeDir(); err != nil {
		return 0, err
	}
	killed, err = process.Driver{}.Sweep(s.workloadsDir())
	return killed, errors.Join(err, s.closeFiles())
}
