package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// note keeps beside a run what it is a run of: the next service goes on with it only where that is what
// is wanted.
func (w *workload) note(j job) error {
	sum, err := digest(j.wanted())
	if err != nil {
		return err
	}
	return durable.WriteFile(w.noteFile(), []byte(sum), 0o600)
}

func (w *workload) noteFile() string { return filepath.Join(w.runDir(), "wanted.sha256") }

func digest(req *wanted) (string, error) {
	b, err := json.Marshal(req, json.Deterministic(true))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// adopt takes hold of what the last service has left running, or what ended since. The error says that
// there is none.
func (w *workload) adopt() error {
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
	w.adopted = kept
	return nil
}

// goOn goes on with what was adopted, and reports whether there was something. What is not wanted, or
// not allowed any more, is stopped.
func (w *workload) goOn() bool {
	w.mu.Lock()
	kept := w.adopted
	w.adopted = nil
	w.mu.Unlock()
	if kept == nil {
		return false
	}
	j, why := w.stillWanted()
	if why != "" {
		// It fails only where the service is at its end already.
		_ = w.svc.spawn(func(life context.Context) { w.endAdopted(life, kept, why) })
		return true
	}
	r, life := w.newRun(j)
	w.beginRun(r)
	p := &proc{Workload: kept, started: kept.Started()}
	w.mu.Lock()
	w.started, w.pid, w.status = p.started, p.PID(), miner.Status{State: miner.Starting}
	w.mu.Unlock()
	if err := w.lookAfter(life, r, p); err != nil {
		kept.Release()
		return true
	}
	w.svc.cfg.Logger.Info("workload goes on", "workload", w.name, "pid", p.PID(), "since", p.started)
	return true
}

// stillWanted returns what the workload shall do, or why what runs shall not.
func (w *workload) stillWanted() (j job, why string) {
	req := w.disk.kept().Wanted
	if req == nil {
		return nil, "it is not wanted"
	}
	sum, err := digest(req)
	was, readErr := durable.ReadFile(w.noteFile(), maxRecordFile)
	if err != nil || readErr != nil || string(was) != sum {
		return nil, "something else is wanted"
	}
	if j, err = jobFor(w.svc, *req); err != nil {
		return nil, w.failure(err)
	}
	return j, ""
}

// endAdopted stops what shall not run, and starts what shall.
func (w *workload) endAdopted(life context.Context, kept driver.Kept, why string) {
	w.svc.cfg.Logger.Warn("what the last worker has left running is stopped", "workload", w.name, "why", why)
	if err := w.take(life); err != nil {
		kept.Release()
		return
	}
	err := kept.Stop(context.WithoutCancel(life), w.svc.cfg.Grace)
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
func (w *workload) leave(r *run, p *proc) bool {
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
