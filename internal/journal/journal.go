// Package journal keeps over restarts what came of requests with an effect, so that one that is
// repeated has no second effect.
//
//	j := journal.Open(journal.Config{Dir: filepath.Join(state, "journal")})
//	defer j.Close()
//	mux := streams.NewMux(host, streams.Config{Journal: j})
//
// A request is on the disk before it has its effect. What came of it is written after that, and is
// not waited for: a power cut may take it, and then the request counts as one that nobody knows the
// end of. Two files take turns: a record is kept for a day at least, and for 20 minutes in any case,
// which is twice as long as a request is accepted after it was sent.
//
// The files are lines and no database: all of them fits into memory, only the end is ever written, and
// damage anywhere costs the line that it hits. A database of pages has to be checked in a process of its
// own, as one bad page may end the program that opens it.
//
// Each line of a file has a checksum. A line that is damaged costs what it said, and from then on
// nobody knows whether requests that were sent before were done; they are answered so.
package journal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

// The bounds of one file; there are two.
const (
	turnAfter  = 24 * time.Hour   // from its first record
	turnBytes  = 4 << 20          // a file of this size has its turn when it is old enough
	turnNever  = 20 * time.Minute // before which it is not
	maxBytes   = 16 << 20         // a full file takes nothing more until its turn
	maxAnswer  = 4 << 10          // bytes of an answer that is kept
	fileName   = "journal"
	formerName = "journal.1"
)

// Config is the configuration of a journal. Dir is required.
type Config struct {
	// Dir is the journal's directory, which is made (mode 0700) if it is not there.
	Dir string
	// Logger gets what the operator should know; nil is silent.
	Logger *slog.Logger

	now  func() time.Time // nil: the clock
	step func(string)     // for tests: before each step on the disk
}

// Journal is a [streams.Journal]. Its methods may be called concurrently.
type Journal struct {
	cfg Config

	mu      sync.Mutex
	file    *os.File  // guarded by mu: nil when it has to be opened (again)
	size    int64     // guarded by mu: up to the end of the last whole record
	first   time.Time // guarded by mu: of the first record of the file
	now     records   // guarded by mu: of the file
	former  records   // guarded by mu: of the one before
	unknown time.Time // guarded by mu: of what was sent before nothing is known, zero: all is
	closed  bool      // guarded by mu
}

type records map[key]record

type key struct {
	peer peer.ID
	id   uuid.UUID
}

var _ streams.Journal = (*Journal)(nil)

// Open opens the journal. Where the disk does not let it, the requests say so: a machine that
// cannot record what it does can still be reached.
func Open(cfg Config) *Journal {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.step == nil {
		cfg.step = func(string) {}
	}
	j := &Journal{cfg: cfg}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.open(); err != nil {
		cfg.Logger.Error("the journal cannot be opened: until it can, nothing is started or changed here", "dir", cfg.Dir, "err", err)
	}
	return j
}

// Close closes the journal; requests fail after it.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.shut()
}

// shut needs mu.
func (j *Journal) shut() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	return f.Close()
}

// Begin records a request. See [streams.Journal].
func (j *Journal) Begin(e streams.Effect) (*streams.Past, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return nil, j.said(err)
	}
	k := key{e.Peer, e.ID}
	for _, known := range []records{j.now, j.former} {
		if r, ok := known[k]; ok {
			return r.past(), nil
		}
	}
	if e.Sent.Before(j.unknown) {
		return &streams.Past{Hash: e.Hash}, nil
	}
	err := j.turn()
	if err == nil {
		err = j.write(k, record{Hash: e.Hash[:], Time: j.cfg.now().UnixMilli(), State: begun}, true)
	}
	return nil, j.said(err)
}

// said logs an error, and returns it without what only the owner should see.
func (j *Journal) said(err error) error {
	why, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return err
	}
	j.cfg.Logger.Error("a command could not be recorded, and was not done", "err", err)
	return why
}

// End records what came of a request. See [streams.Journal].
func (j *Journal) End(e streams.Effect, p streams.Past) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.ready()
	if err == nil {
		err = j.write(key{e.Peer, e.ID}, ended(e, p, j.cfg.now()), false)
	}
	if err != nil {
		j.cfg.Logger.Warn("what came of a request could not be recorded: after a restart nobody knows", "id", e.ID, "err", err)
	}
}

// ready opens the files where they are not open. It needs mu.
func (j *Journal) ready() error {
	if j.closed {
		return errors.New("the worker is stopping")
	}
	if j.file != nil {
		return nil
	}
	return j.open()
}

// write appends a record. After an error the file holds what it held, or is read again. It needs mu.
func (j *Journal) write(k key, r record, sync bool) error {
	line, err := r.line(k)
	if err != nil {
		return err
	}
	if j.size+int64(len(line)) > maxBytes {
		return errors.New("it has recorded too many commands: wait some minutes")
	}
	j.cfg.step("write")
	_, err = j.file.WriteAt(line, j.size)
	if err != nil {
		// A full disk may take half a line. It must not stay in front of the next one.
		if cut := j.file.Truncate(j.size); cut != nil {
			err = errors.Join(err, cut, j.shut())
		}
		return err
	}
	j.cfg.step("sync")
	if sync {
		if err := j.file.Sync(); err != nil {
			return errors.Join(err, j.shut()) // what is on the disk is unknown
		}
	}
	j.cfg.step("synced")
	j.size += int64(len(line))
	j.take(k, r)
	return nil
}

// take has a record in memory, in the file in which the request began. It needs mu.
func (j *Journal) take(k key, r record) {
	if j.first.IsZero() {
		j.first = time.UnixMilli(r.Time)
	}
	switch {
	case r.State == void:
		delete(j.now, k)
		delete(j.former, k)
	default:
		j.now[k] = r
	}
}

// turn begins a new file where the present one has had its time. It needs mu.
func (j *Journal) turn() error {
	age := j.cfg.now().Sub(j.first)
	if j.first.IsZero() || age < turnAfter && (j.size < turnBytes || age < turnNever) {
		return nil
	}
	if err := j.shut(); err != nil {
		return err
	}
	j.cfg.step("turn")
	if err := os.Rename(j.path(fileName), j.path(formerName)); err != nil {
		return err
	}
	j.cfg.step("turned")
	return j.open()
}

func (j *Journal) path(name string) string { return filepath.Join(j.cfg.Dir, name) }

// open reads the files. It needs mu.
func (j *Journal) open() error {
	if err := os.MkdirAll(j.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the journal's directory: %w", err)
	}
	former, err := j.read(formerName)
	if err != nil {
		return err
	}
	now, err := j.read(fileName)
	if err != nil {
		return err
	}
	f, err := durable.OpenFile(j.path(fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// Also what is whole may not have been synced before a crash.
	err = errors.Join(f.Truncate(now.size), f.Sync(), durable.SyncDir(j.cfg.Dir))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.file, j.size, j.first, j.now, j.former = f, now.size, time.Time{}, make(records), make(records)
	for _, r := range former.all {
		j.take(r.key, r.record)
	}
	j.former, j.now, j.first = j.now, make(records), time.Time{}
	for _, r := range now.all {
		j.take(r.key, r.record)
	}
	return nil
}

// read reads one file, and puts what can be read of a damaged one in its place. It needs mu.
func (j *Journal) read(name string) (contents, error) {
	f, err := durable.Open(j.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return contents{}, nil
	}
	if err != nil {
		return contents{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return contents{}, err
	}
	c := parse(b)
	if c.damaged == 0 && len(b) <= maxBytes {
		return c, nil
	}
	aside, err := durable.SetAside(j.path(name))
	j.unknown = j.cfg.now()
	j.cfg.Logger.Error("the journal is damaged: what was sent before now is not done again, as nobody knows whether it was done",
		"records", c.damaged, "kept", len(c.all), "file", aside, "err", err)
	return c, durable.WriteFile(j.path(name), c.good, 0o600)
}
