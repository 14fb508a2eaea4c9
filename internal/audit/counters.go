package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Others is the peer under which those are counted for whom there was no room in a minute.
const Others = "others"

// Defaults of [CountersConfig].
const (
	DefaultPeers        = 256
	DefaultCounterBytes = 1 << 20
)

// maxCountLine is how many bytes a line of counts has at most: four members, and a peer of MaxWord
// escaped bytes.
const maxCountLine = 1024

// Count is how many requests of a peer were refused in one minute.
type Count struct {
	Minute int64  `json:"minute"` // Unix milliseconds of the minute's begin
	Peer   string `json:"peer"`   // a peer ID, or Others
	Count  uint64 `json:"count"`
}

// CountersConfig says where counts are kept, and how many.
type CountersConfig struct {
	// Dir is a directory; that of a [Log] will do.
	Dir string
	// Peers is how many peers are told apart in one minute; 0 means 256. All further ones are
	// counted as Others.
	Peers int
	// Bytes is the size to which the files are capped; 0 means 1 MiB. The oldest counts go first.
	Bytes int64
	// Logger is told when counts can not be written; nil is silent.
	Logger *slog.Logger
}

// Counters counts refused requests by peer and minute, which are too many to have entries of their
// own. What it costs in memory and on the disk is bounded however many peers there are. The last
// minute is lost when the process is killed.
//
// All its methods may be called concurrently.
type Counters struct {
	cfg CountersConfig

	mu     sync.Mutex // guards all below
	minute int64
	counts map[string]uint64

	disk sync.Mutex // held while files are written
}

// OpenCounters returns counters that write to cfg.Dir, which it makes when it is missing.
func OpenCounters(cfg CountersConfig) (*Counters, error) {
	cfg.Peers = cmp.Or(cfg.Peers, DefaultPeers)
	cfg.Bytes = cmp.Or(cfg.Bytes, DefaultCounterBytes)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" || cfg.Peers < 1 || cfg.Bytes < 2*maxCountLine {
		return nil, fmt.Errorf("open audit counters: need a directory, 1 peer and %d bytes", 2*maxCountLine)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit counters: %w", err)
	}
	return &Counters{cfg: cfg, counts: make(map[string]uint64)}, nil
}

// Add counts one more refusal of peer. It does not touch the disk, but for the first call in a
// minute, which writes the minute before.
func (c *Counters) Add(peer string) {
	if len(peer) > MaxWord || !utf8.ValidString(peer) {
		peer = Others
	}
	now := time.Now().Truncate(time.Minute).UnixMilli()
	minute, full := c.add(peer, now)
	if full != nil {
		c.report(c.write(minute, full))
	}
}

// add counts, and returns the counts of the minute before when this one is new.
func (c *Counters) add(peer string, now int64) (minute int64, full map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now != c.minute {
		minute, full = c.take()
		c.minute = now
	}
	if _, known := c.counts[peer]; !known && len(c.counts) >= c.cfg.Peers {
		peer = Others
	}
	c.counts[peer]++
	return minute, full
}

// take returns what was counted and begins anew. The caller holds c.mu.
func (c *Counters) take() (int64, map[string]uint64) {
	counts := c.counts
	c.counts = make(map[string]uint64)
	return c.minute, counts
}

// Flush writes what was counted so far.
func (c *Counters) Flush() error {
	c.mu.Lock()
	minute, counts := c.take()
	c.mu.Unlock()
	return c.write(minute, counts)
}

// Run writes the counts every minute until ctx ends, and then what is left.
func (c *Counters) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.Flush()
		case <-tick.C:
			c.report(c.Flush())
		}
	}
}

// Close writes what is left. It may be called twice.
func (c *Counters) Close() error { return c.Flush() }

func (c *Counters) report(err error) {
	if err != nil {
		c.cfg.Logger.Warn("audit counters could not be written", "err", err)
	}
}

func (c *Counters) write(minute int64, counts map[string]uint64) error {
	if len(counts) == 0 {
		return nil
	}
	c.disk.Lock()
	defer c.disk.Unlock()
	if err := c.append(minute, counts); err != nil {
		return fmt.Errorf("write audit counters: %w", err)
	}
	return nil
}

// append adds a line for each peer to the file. Full, the file takes the place of the one before
// it.
func (c *Counters) append(minute int64, peers map[string]uint64) error {
	path := countsPath(c.cfg.Dir)
	f, size, err := openCounts(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	var lines []byte
	for _, peer := range slices.Sorted(maps.Keys(peers)) {
		line, err := json.Marshal(Count{Minute: minute, Peer: peer, Count: peers[peer]})
		if err != nil {
			return err
		}
		if size+int64(len(lines)+len(line)+1) > c.cfg.Bytes/2 {
			err := errors.Join(writeSynced(f, lines), f.Close(), os.Rename(path, path+olderEnding))
			if err != nil {
				return err
			}
			if f, size, err = openCounts(path); err != nil {
				return err
			}
			lines = lines[:0]
		}
		lines = append(append(lines, line...), '\n')
	}
	return writeSynced(f, lines)
}

const olderEnding = ".1"

func countsPath(dir string) string { return filepath.Join(dir, "refusals.jsonl") }

// openCounts opens a file to append to it, and returns its size. A line that a crash has torn gets
// an end, so that it does not spoil the next.
func openCounts(path string) (*os.File, int64, error) {
	f, err := durable.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			size++
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

func writeSynced(f *os.File, lines []byte) error {
	if _, err := f.Write(lines); err != nil {
		return err
	}
	return f.Sync()
}
