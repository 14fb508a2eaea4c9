package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
)

// resumeAll starts what was wanted when the last agent ended.
func resumeAll(s *Service) {
	for _, w := range allWorkloads(s) {
		if goOn(w) {
			continue
		}
		if w.disk.kept().Wanted != nil {
			// It fails only where the service is at its end already.
			_ = s.spawn(func(life context.Context) { w.comeBack(life, 0) })
		}
	}
}

// comeBack starts what the workload shall do after a pause, and again after longer ones, until it runs,
// somebody else has started or stopped it, or life ends.
func (w *workload) comeBack(life context.Context, pause time.Duration) {
	_, last, _ := w.runs()
	for {
		select {
		case <-life.Done():
			return
		case <-time.After(pause):
		}
		pause = w.svc.cfg.Restart.Slow
		if !w.tryAgain(life, last) {
			return
		}
	}
}

// tryAgain starts what the workload shall do, and reports whether that is to be tried later.
func (w *workload) tryAgain(life context.Context, last string) (later bool) {
	if err := w.take(life); err != nil {
		return false
	}
	defer w.release()
	req := w.disk.kept().Wanted
	if run, now, _ := w.runs(); req == nil || run != nil || now != last {
		return false
	}
	j, err := jobFor(w.svc, *req)
	if err == nil && last == "" && w.isOver(j) {
		return false
	}
	if err == nil {
		_, err = w.startRun(life, j)
	}
	if err == nil || life.Err() != nil {
		return false
	}
	words := w.failure(err)
	w.svc.cfg.Logger.Error("a workload that shall run does not start", "workload", w.name, "err", err, "again", w.svc.cfg.Restart.Slow)
	w.fail(words)
	return true
}

// jobFor turns what is wanted into what to run here, or says why it may not run.
func jobFor(s *Service, req wanted) (job, error) {
	if req.Command != nil {
		return command(s, *req.Command)
	}
	if req.Miner == nil {
		return nil, streams.Errorf(streams.CodeInvalid, "it is of a kind that this version does not know")
	}
	return s.resolve(*req.Miner)
}

// failure is why a start failed, as the one who asks for stats may read it.
func (w *workload) failure(err error) string {
	err = w.startError(w.disk.kept().Kind, err)
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e.Words()
	}
	return "it could not be started"
}

// fail has the workload failed, with the reason.
func (w *workload) fail(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed, w.why = true, shortened(fmt.Sprintf("%s; it is tried again every %v", why, w.svc.cfg.Restart.Slow))
}

// lastWords is how the last process ended, and what it printed then.
func (w *workload) lastWords() string {
	w.mu.Lock()
	words := "it ended too often"
	if w.exit != nil {
		words += ", at last" + how(*w.exit)
	}
	w.mu.Unlock()
	if page, err := w.log.Tail(logs.Query{Lines: 1}); err == nil && len(page.Lines) == 1 {
		words += fmt.Sprintf(" after %q", page.Lines[0].Text)
	}
	return words
}

// isOver reports whether the workload, which the last agent ran, is not to be started again; then its
// state says why.
func (w *workload) isOver(j job) bool {
	exit, known := w.disk.lastEnd()
	if known && j.again(exit) || !known && j.again(driver.Exit{Code: -1}) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.why = true, "it ended with the worker, and is not started again"
	if known {
		w.why = "it ended" + how(exit)
	}
	return true
}
