package ops

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const maxRecordFile = 256 << 10 // bytes

// record is what is kept of a workload on disk, in two copies: what it shall do, and what is told of
// it while it does not run. Only commands change it: whatever happens to a workload, after a restart
// of the agent it does what it was last told to do.
type record struct {
	Kind      string `json:"kind"`
	Algorithm string `json:"algorithm,omitzero"`
	Pool      string `json:"pool,omitzero"`
	// Wanted is what it shall do, with the secrets of that; nil where it shall not run.
	Wanted *wanted `json:"wanted,omitzero"`
}

// wanted is the request that asks for what runs: one of them.
type wanted struct {
	Miner   *StartRequest    `json:"miner,omitzero"`
	Command *WorkloadRequest `json:"command,omitzero"`
}

// miner reports whether the workload is a miner: its kind is not that of a driver.
func (r record) miner() bool { return r.Kind != DriverProcess }

func (w *workload) recordFile() string { return filepath.Join(w.dir, "workload.json") }

// keep writes the record.
func (w *workload) keep(rec record) error {
	b, err := json.Marshal(rec)
	if err == nil {
		err = durable.WriteTwice(w.recordFile(), b, 0o600)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = rec
	return nil
}

// kept returns the record.
func (w *workload) kept() record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.record
}

// want keeps what the workload shall do from now on; nil is nothing.
func (w *workload) want(req *wanted) error {
	rec := w.kept()
	if rec.Wanted == nil && req == nil {
		return nil
	}
	rec.Wanted = req
	return w.keep(rec)
}

// readRecord reads what was kept. A machine whose worker does not start is lost; without the record
// only what the workload was asked to do is.
func (w *workload) readRecord() {
	log := w.svc.cfg.Logger.With("workload", w.name)
	rec, mended, err := decodeRecord(w.recordFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		aside := ""
		if !errors.Is(err, durable.ErrUnsafe) {
			aside, _ = durable.SetAside(w.recordFile())
		}
		log.Error("what is kept of a workload is damaged, in both copies: it is not started until somebody says so", "err", err, "file", aside)
	case mended != nil:
		log.Warn("what is kept of a workload was damaged, and is read from its second copy", "err", mended)
		if err := w.keep(rec); err != nil {
			log.Error("what is kept of a workload could not be written again", "err", err)
		}
	}
	w.record = rec
}

func decodeRecord(path string) (rec record, mended, err error) {
	b, mended, err := durable.ReadTwice(path, maxRecordFile)
	if errors.Is(err, durable.ErrDamaged) {
		// Versions before this one wrote one file, without a checksum.
		if old, oldErr := durable.ReadFile(path, maxRecordFile); oldErr == nil && bytes.HasPrefix(old, []byte("{")) {
			b, err = old, nil
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err != nil {
		return record{}, nil, err
	}
	return rec, mended, nil
}
