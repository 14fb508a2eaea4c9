// Package logs keeps what a workload prints, in files of bounded size.
//
//	log, err := logs.Open(dir, logs.Config{})
//	defer log.Close()
//	stdout := log.Writer(logs.Stdout)  // an io.Writer that makes lines
//	…
//	page, err := log.Tail(logs.Query{Lines: 100})
//	for {
//		changed := log.Changed(page.Next)
//		page, err = log.Read(page.Next, logs.Query{}) // what came since
//		<-changed
//	}
//
// Every line has an offset: the number of bytes written to the log before it, over its whole life.
// Offsets only grow, also over restarts, so one number says where a reader stands. The oldest
// segment is dropped when the log is full; a reader that stands in it is told so once, by a [Gap].
//
// On disk a segment is a text file named by its first offset, with a line as "<unix ms> <o|e>
// <text>". What was written survives the end of this process. It is not synced to disk line by
// line, so a power cut may take the last seconds; a torn last line is cut off when the log is
// opened.
package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Limits and defaults.
const (
	// MaxText is the most bytes of text in a line; a longer one is split.
	MaxText = 8 << 10
	// MaxLines is the most lines of one page.
	MaxLines = 10_000
	// MaxPageBytes bounds the lines of one page, counted as JSON, and with it the memory of a
	// reader.
	MaxPageBytes = 500 << 10
	// DefaultSegmentBytes is the size of a segment when Config says nothing.
	DefaultSegmentBytes = 1 << 20
	// DefaultSegments is the number of segments kept when Config says nothing.
	DefaultSegments = 16
	// minSegmentBytes has room for any line.
	minSegmentBytes = MaxText + maxHeader
)

// ErrBeyondEnd says that a reader asked for an offset that was not written yet: the log it knew is
// gone.
var ErrBeyondEnd = errors.New("offset is beyond the end of the log")

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("log is closed")

// Stream says where a line was printed.
type Stream string

// The streams of a process.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Line is one line of a log.
type Line struct {
	Offset int64  `json:"offset"` // bytes written before this line
	Time   int64  `json:"time"`   // Unix ms when it was read; never less than that of the line before
	Stream Stream `json:"stream"`
	Text   string `json:"text"` // valid UTF-8 without line end; control characters are left in
}

// Gap tells that the bytes From (inclusive) to To (exclusive) were dropped before they were read.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Config sets the size of a log. The zero value is useful.
type Config struct {
	SegmentBytes int64 // size of a segment in bytes, 0 for the default; at least one longest line
	Segments     int   // number of segments kept, 0 for the default; at least 2
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.Segments == 0 {
		c.Segments = DefaultSegments
	}
	c.SegmentBytes, c.Segments = max(c.SegmentBytes, minSegmentBytes), max(c.Segments, 2)
	return c
}

// Log is an open log, of which [Beside] and [Look] only read. All its methods are safe for concurrent use. A directory must be open only
// once.
type Log struct {
	dir string
	cfg Config

	mu       sync.Mutex
	segments []segment     // guarded by mu: oldest first, never empty; the last one is written
	file     *os.File      // guarded by mu: the last segment, nil once closed
	lastTime int64         // guarded by mu: time of the newest line
	buf      []byte        // guarded by mu: reused to format lines
	changed  chan struct{} // guarded by mu: closed by the next write; nil when nobody waits
	lost     int64         // guarded by mu: lines that could not be written
	live     *live         // nil but for a log that another process writes
}

// segment is a file that holds the bytes from base on.
type segment struct{ base, size int64 }

func (s segment) end() int64 { return s.base + s.size }

// Look opens the log in dir to be read beside the one who has it open, who may write meanwhile: as a log
// that was closed, of which only what was there by now is seen. The error matches fs.ErrNotExist where
// there is none.
func Look(dir string) (*Log, error) {
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return nil, fmt.Errorf("log %s: %w", dir, fs.ErrNotExist)
	}
	return &Log{dir: dir, cfg: Config{}.withDefaults(), segments: segments}, nil
}

// Open opens the log in dir, which is made (mode 0700) if it is not there.
func Open(dir string, cfg Config) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, cfg: cfg.withDefaults(), segments: segments}
	if len(segments) == 0 {
		err = l.startSegment(0)
	} else {
		err = l.reopenLast()
	}
	if durable.IsReadOnly(err) { // it can be read, as a log that was closed
		if len(segments) == 0 {
			l.segments = []segment{{}}
		}
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, nil
}

// Close closes the log for writing and wakes all who wait. It may be called more than once.
func (l *Log) Close() error {
	if l.live != nil {
		l.closeBeside()
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file = nil
	l.wake()
	return err
}

// End is the offset of the next line.
func (l *Log) End() int64 {
	_, end := l.snapshot()
	return end
}

// Changed returns a channel that is closed when there is, or may be, something to read from offset
// on, and when the log is closed.
func (l *Log) Changed(offset int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live != nil {
		return l.changedBeside(offset)
	}
	if l.end() > offset || l.file == nil {
		ready := make(chan struct{})
		close(ready)
		return ready
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// end needs mu.
func (l *Log) end() int64 {
	if l.live != nil {
		return l.live.seen // what was there once counts on, also if somebody has taken it away
	}
	return l.segments[len(l.segments)-1].end()
}

// wake needs mu.
func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Lost is the number of lines that could not be written since Open, because the disk was full for
// example.
func (l *Log) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// append writes texts as lines of stream. Lines that can not be written are counted and dropped: a
// workload must not die of a full disk, as it would if its pipe were closed.
func (l *Log) append(stream Stream, texts ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(stream, texts); err != nil {
		l.lost += int64(len(texts))
	}
	l.wake()
}

// write needs mu.
func (l *Log) write(stream Stream, texts [][]byte) error {
	if l.file == nil {
		return ErrClosed
	}
	l.lastTime = max(l.lastTime, time.Now().UnixMilli())
	l.buf = l.buf[:0]
	for _, text := range texts {
		start := len(l.buf)
		l.buf = appendRecord(l.buf, l.lastTime, stream, text)
		if l.end()+int64(len(l.buf)) > l.segments[len(l.segments)-1].base+l.cfg.SegmentBytes {
			if err := l.spill(start); err != nil {
				return err
			}
		}
	}
	return l.flush(len(l.buf))
}

// spill writes the first n bytes of buf and goes on with the rest in a new segment. It needs mu.
func (l *Log) spill(n int) error {
	if err := l.flush(n); err != nil {
		return err
	}
	return l.rotate()
}

// flush writes the first n bytes of buf, and keeps what follows them. It needs mu.
func (l *Log) flush(n int) error {
	if n > 0 && !l.untouched() {
		old := l.file
		if err := l.startSegment(l.end()); err != nil {
			return err
		}
		_ = old.Close() // it has no name any more, or not all that was written
	}
	last := &l.segments[len(l.segments)-1]
	if _, err := l.file.WriteAt(l.buf[:n], last.size); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	last.size += int64(n)
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	return nil
}

// untouched reports whether nobody else has cut or taken away the segment that is written. It needs mu.
func (l *Log) untouched() bool {
	last := l.segments[len(l.segments)-1]
	ours, err := l.file.Stat()
	if err != nil || ours.Size() < last.size {
		return false
	}
	named, err := os.Lstat(l.path(last))
	return err == nil && os.SameFile(ours, named)
}

// rotate begins a new segment and drops the oldest ones. On an error the log goes on with the
// segment it has. It needs mu.
func (l *Log) rotate() error {
	old := l.file
	if err := l.startSegment(l.end()); err != nil {
		return err
	}
	err := errors.Join(old.Sync(), old.Close(), durable.SyncDir(l.dir))
	for len(l.segments) > l.cfg.Segments {
		if err := os.Remove(l.path(l.segments[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			break // in use, on Windows: dropped at a later turn
		}
		l.segments = l.segments[1:]
	}
	return err
}

// startSegment needs mu, or a log nobody else has.
func (l *Log) startSegment(base int64) error {
	s := segment{base: base}
	f, err := durable.OpenFile(l.path(s), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("start log segment: %w", err)
	}
	if n := len(l.segments); n > 0 && l.segments[n-1] == s {
		l.segments = l.segments[:n-1] // it was empty, and is begun anew
	}
	l.segments, l.file = append(l.segments, s), f
	return nil
}
