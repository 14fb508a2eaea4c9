package audit

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	segmentEnding = ".audit"
	damagedEnding = ".damaged" // a segment that had no good entry at all
)

// segment is the file being written.
type segment struct {
	file   *os.File
	size   int64 // up to the end of the last whole entry
	unsure bool  // the file may hold something else than was acknowledged
}

// write adds lines and syncs them. On an error none of them counts as written.
func (s *segment) write(lines []byte, step func(string)) error {
	step("write")
	if _, err := s.file.WriteAt(lines, s.size); err != nil {
		// A full disk may take half a line. It must not stay in front of the next one.
		cut := s.file.Truncate(s.size)
		s.unsure = cut != nil
		return errors.Join(err, cut)
	}
	step("sync")
	if err := s.file.Sync(); err != nil {
		s.unsure = true
		return err
	}
	s.size += int64(len(lines))
	step("synced")
	return nil
}

// createSegment begins the segment that follows head with its anchor, and returns the head after
// it.
func createSegment(cfg Config, head Head) (*segment, Head, error) {
	anchor, line, err := seal(Entry{Kind: KindAnchor, Time: time.Now().UnixMilli()}, head)
	if err != nil {
		return nil, Head{}, err
	}
	path := segmentPath(cfg.Dir, anchor.Seq)
	cfg.step("create")
	f, err := durable.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, Head{}, err
	}
	cfg.step("anchor")
	_, err = f.WriteAt(line, 0)
	if err == nil {
		err = f.Sync()
	}
	cfg.step("directory")
	if err == nil {
		err = durable.SyncDir(cfg.Dir)
	}
	if err != nil {
		return nil, Head{}, errors.Join(err, f.Close(), os.Remove(path))
	}
	cfg.step("created")
	return &segment{file: f, size: int64(len(line))}, Head{Count: anchor.Seq, Hash: anchor.Hash}, nil
}

// openSegment opens a segment to add to it after its first size bytes, and cuts off the rest.
func openSegment(path string, size int64) (*segment, error) {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(size)
	if err == nil {
		// Also what was whole may not have been synced before the crash.
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segment{file: f, size: size}, nil
}

// dropOld removes the oldest segments until as many are left as may be kept.
func (l *Log) dropOld() error {
	names, err := segments(l.cfg.Dir)
	if err != nil {
		return err
	}
	for len(names) > l.cfg.Segments {
		l.cfg.step("drop")
		if err := os.Remove(names[0].path); err != nil {
			return fmt.Errorf("drop the oldest segment: %w", err)
		}
		names = names[1:]
	}
	l.cfg.step("dropped")
	return nil
}

// name is a segment's file and the number of its first entry.
type name struct {
	path  string
	first uint64
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentEnding))
}

// segments lists the segments in dir, the oldest first.
func segments(dir string) ([]name, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []name
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), segmentEnding)
		first, err := strconv.ParseUint(digits, 10, 64)
		path := filepath.Join(dir, f.Name())
		if ok && err == nil && f.Type().IsRegular() && path == segmentPath(dir, first) {
			names = append(names, name{path, first})
		}
	}
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.first, b.first) })
	return names, nil
}
