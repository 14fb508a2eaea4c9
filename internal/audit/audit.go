// Package audit keeps the record of who did what on a machine.
//
// A [Log] is append-only: one line of JSON an entry, each with the hash of the entry before it.
// [Log.Append] returns when its entry is on the disk, so whoever calls it before an effect can not
// have the effect without the entry:
//
//	log, err := audit.Open(audit.Config{Dir: filepath.Join(state, "audit")})
//	…
//	_, err = log.Append(ctx, audit.Entry{Kind: audit.KindCommand, Peer: peer, Type: "start_miner",
//		Verb: "miner.control", ID: id, Summary: "miner=xmrig threads=4",
//		Result: audit.ResultBegun})
//	if err != nil {
//		return err // not recorded, so not done
//	}
//
// [Verify] finds the first entry that was changed, removed, reordered or inserted. A chain alone
// can not show that its end was cut off, or that all of it was written anew by someone who owns the
// machine: for that a controller remembers the [Head] it was told last, and gives it to Verify.
//
// The log is a row of files, its segments, each named for the first entry in it. When there are too
// many, the oldest goes. Each segment begins with an anchor, an entry that carries the number and
// the hash of what came before, so that what is left can be verified without what is gone. Refused
// requests do not belong here, where they could push out real entries: [Counters] counts them
// elsewhere.
//
// A worker has a [Recorder], which writes an entry before each effect and each audited read, and
// answers [GetAudit]. A controller keeps the [Heads] that it was told.
package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Defaults of [Config].
const (
	DefaultSegmentBytes = 1 << 20
	DefaultSegments     = 16
)

// MinSegmentBytes is the least a segment may be capped to: room for an anchor and for one entry of
// any length.
const MinSegmentBytes = 2 * MaxLine

var (
	// ErrClosed is returned by Append after Close.
	ErrClosed = errors.New("audit log is closed")
	// ErrLocked says that another process has the log open. Trying again helps once it has ended.
	ErrLocked = errors.New("audit log is in use by another process")
	// ErrInvalid says that an entry is too long, not UTF-8, or of a kind only the log itself may
	// write.
	ErrInvalid = errors.New("invalid audit entry")
)

// Config says where a log is and how much of it is kept.
type Config struct {
	// Dir is the log's own directory, which is made with mode 0700 when it is missing.
	Dir string
	// SegmentBytes is the size a segment is capped to; 0 means 1 MiB.
	SegmentBytes int64
	// Segments is how many segments are kept, the one being written included; 0 means 16.
	Segments int
	// Logger gets what was repaired; nil is silent.
	Logger *slog.Logger

	// step is called before each change on the disk, so that tests can die there.
	step func(name string)
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.Segments == 0 {
		c.Segments = DefaultSegments
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.step == nil {
		c.step = func(string) {}
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Dir == "":
		return errors.New("audit log: no directory")
	case c.SegmentBytes < MinSegmentBytes:
		return fmt.Errorf("audit log: segments of %d bytes, need at least %d", c.SegmentBytes, MinSegmentBytes)
	case c.Segments < 2:
		return fmt.Errorf("audit log: %d segments, need at least 2", c.Segments)
	}
	return nil
}

// Log is an open audit log. All its methods may be called concurrently.
type Log struct {
	cfg  Config
	lock *os.File

	queue sync.Mutex // guards next
	next  *batch     // entries that wait for their commit; nil when none do

	commit sync.Mutex // held while a batch goes to the disk; guards seg, broken and closed
	seg    *segment
	broken error // why nothing can be appended any more
	closed bool

	state sync.Mutex // guards head
	head  Head
}

// Open opens the log in cfg.Dir, or begins one. Only one process at a time can; others get
// [ErrLocked].
//
// A last line that was torn by a crash was never acknowledged: it is cut off, and an entry of
// [KindRepair] says so. Any other damage stays as it is for [Verify] to find; the log goes on in a
// new segment, and an entry of [KindDamage] says so.
func Open(cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	lock, err := openDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	l := &Log{cfg: cfg, lock: lock}
	if err := l.mend(); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log: %w", err), l.Close())
	}
	return l, nil
}

// openDir makes the directory and takes its lock.
func openDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	f, err := durable.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	taken, err := durable.TryLock(f)
	if err == nil && !taken {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Head returns the end of the chain as far as it is on the disk.
func (l *Log) Head() Head {
	l.state.Lock()
	defer l.state.Unlock()
	return l.head
}

func (l *Log) setHead(h Head) {
	l.state.Lock()
	defer l.state.Unlock()
	l.head = h
}

// Close waits for what is being appended and frees the log. It may be called twice.
func (l *Log) Close() error {
	l.commit.Lock()
	defer l.commit.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	if l.seg != nil {
		err = l.seg.file.Close()
	}
	return errors.Join(err, l.lock.Close())
}
