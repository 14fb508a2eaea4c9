package ops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/driver"
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
func (r record) miner() bool { return !slices.Contains(Drivers(), r.Kind) }

// shelf is what is kept of a workload on disk, in its directory.
type shelf struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	record record // guarded by mu
}

func (s *shelf) recordFile() string { return filepath.Join(s.dir, "workload.json") }
func (s *shelf) endFile() string    { return filepath.Join(s.dir, "end.json") }

// keep writes the record.
func (s *shelf) keep(rec record) error {
	b, err := json.Marshal(rec)
	if err == nil {
		err = durable.WriteTwice(s.recordFile(), b, 0o600)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = rec
	return nil
}

// kept returns the record.
func (s *shelf) kept() record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record
}

// want keeps what the workload shall do from now on; nil is nothing.
func (s *shelf) want(req *wanted) error {
	rec := s.kept()
	if rec.Wanted == nil && req == nil {
		return nil
	}
	rec.Wanted = req
	return s.keep(rec)
}

// read reads what was kept. A machine whose worker does not start is lost; without the record only what
// the workload was asked to do is.
func (s *shelf) read() {
	rec, mended, err := decodeRecord(s.recordFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		aside := ""
		if !errors.Is(err, durable.ErrUnsafe) {
			aside, _ = durable.SetAside(s.recordFile())
		}
		s.log.Error("what is kept of a workload is damaged, in both copies: it is not started until somebody says so", "err", err, "file", aside)
	case mended != nil:
		s.log.Warn("what is kept of a workload was damaged, and is read from its second copy", "err", mended)
		if err := s.keep(rec); err != nil {
			s.log.Error("what is kept of a workload could not be written again", "err", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record = rec
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

// end is how a workload ended that is not started again, kept beside what it shall do, so that it is
// known after a restart of the agent.
type end struct {
	Code        int    `json:"code"`
	Signal      string `json:"signal,omitzero"`
	OutOfMemory bool   `json:"outOfMemory,omitzero"`
	Lost        bool   `json:"lost,omitzero"`
}

// keepEnd keeps how the workload ended.
func (s *shelf) keepEnd(exit driver.Exit) {
	b, err := json.Marshal(end{exit.Code, exit.Signal, exit.OutOfMemory, exit.Lost})
	if err == nil {
		err = durable.WriteFile(s.endFile(), b, 0o600)
	}
	if err != nil {
		s.log.Error("how a workload ended could not be kept", "err", err)
	}
}

// begun keeps what runs now, and forgets how the workload ended before.
func (s *shelf) begun(j job) error {
	rec := j.record()
	rec.Wanted = s.kept().Wanted
	err := os.Remove(s.endFile())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.keep(rec))
}

// lastEnd returns how the workload ended, where that is known.
func (s *shelf) lastEnd() (exit driver.Exit, known bool) {
	b, err := durable.ReadFile(s.endFile(), maxRecordFile)
	var e end
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	return driver.Exit{Code: e.Code, Signal: e.Signal, OutOfMemory: e.OutOfMemory, Lost: e.Lost}, err == nil
}

// note is kept beside a run, and goes with it: the next service goes on with what runs only where that
// is what is wanted, and as the same run.
type note struct {
	Wanted string `json:"wanted"` // its digest
	Run    string `json:"run"`    // the run's ID
	From   int64  `json:"from"`   // the offset in the log where it begins
	Limits Limits `json:"limits,omitzero"`
}

// noteFile is in the directory of the run.
func (s *shelf) noteFile() string { return filepath.Join(s.dir, "run", "note.json") }

// note keeps what is run.
func (s *shelf) note(r *run) error {
	sum, err := digest(r.job.wanted())
	var b []byte
	if err == nil {
		b, err = json.Marshal(note{sum, r.id, r.from, r.limits})
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(s.noteFile(), b, 0o600)
}

// noted returns what is known of a run, and whether it is one of what is wanted.
func (s *shelf) noted(req *wanted) (n note, ok bool) {
	sum, err := digest(req)
	var b []byte
	if err == nil {
		b, err = durable.ReadFile(s.noteFile(), maxRecordFile)
	}
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	return n, err == nil && n.Wanted == sum && len(n.Run) <= maxRunID && n.From >= 0
}

func digest(req *wanted) (string, error) {
	b, err := json.Marshal(req, json.Deterministic(true))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}
