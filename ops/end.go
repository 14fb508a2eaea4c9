package ops

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
)

// end is how a workload ended that is not started again, kept on disk beside what it shall do, so that
// it is known after a restart of the agent.
type end struct {
	Code   int    `json:"code"`
	Signal string `json:"signal,omitzero"`
}

func (w *workload) endFile() string { return filepath.Join(w.dir, "end.json") }

// over notes that the workload ended by itself, and is not started again.
func (w *workload) over() {
	w.mu.Lock()
	exit := *w.exit
	w.ended, w.why = true, "it ended with "+exit.String()
	w.mu.Unlock()
	b, err := json.Marshal(end{exit.Code, exit.Signal})
	if err == nil {
		err = durable.WriteFile(w.endFile(), b, 0o600)
	}
	if err != nil {
		w.svc.cfg.Logger.Error("how a workload ended could not be kept", "workload", w.name, "err", err)
	}
}

// begun forgets how the workload ended before.
func (w *workload) begun() error {
	if err := os.Remove(w.endFile()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isOver reports whether the workload, which the last agent ran, is not to be started again; then its
// state says why.
func (w *workload) isOver(j job) bool {
	exit, known := w.lastEnd()
	if known && j.again(exit) || !known && j.again(driver.Exit{Code: -1}) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.why = true, "it ended with the worker, and is not started again"
	if known {
		w.why = "it ended with " + exit.String()
	}
	return true
}

// lastEnd returns how the workload ended, where that is known.
func (w *workload) lastEnd() (exit driver.Exit, known bool) {
	b, err := durable.ReadFile(w.endFile(), maxRecordFile)
	var e end
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	return driver.Exit{Code: e.Code, Signal: e.Signal}, err == nil
}
