package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Filter chooses entries. Its zero value chooses all.
type Filter struct {
	After uint64    // only entries with a greater number
	Since time.Time // only entries of this time or later; zero for no bound
	Until time.Time // only entries before this time; zero for no bound
	Kinds []Kind    // only these kinds; none means all, also the log's own
	Peer  string    // only what this peer did; empty for all
	Name  string    // only what was done under this name; empty for all
	Type  string    // only this message type; empty for all
}

func (f Filter) chooses(e Entry) bool {
	switch at := time.UnixMilli(e.Time); {
	case e.Seq <= f.After,
		!f.Since.IsZero() && at.Before(f.Since.Truncate(time.Millisecond)),
		!f.Until.IsZero() && !at.Before(f.Until),
		f.Peer != "" && e.Peer != f.Peer,
		f.Name != "" && e.Name != f.Name,
		f.Type != "" && e.Type != f.Type:
		return false
	}
	return len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind)
}

// Read yields the entries that f chooses, the oldest first; see the function [Read].
func (l *Log) Read(f Filter) iter.Seq2[Entry, error] { return Read(l.cfg.Dir, f) }

// Read yields the entries of the log in dir that f chooses, the oldest first. The log may be in use by another
// process. Damaged entries are passed over: to find them is for [Verify]. An error is yielded once, at the end.
func Read(dir string, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		names, err := segments(dir)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read audit log: %w", err))
			return
		}
		for i, n := range names {
			if i+1 < len(names) && names[i+1].first <= f.After+1 {
				continue // it ends before what is asked
			}
			more, err := readSegment(n.path, f, yield)
			if errors.Is(err, fs.ErrNotExist) {
				continue // dropped meanwhile
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("read audit log: %w", err))
				return
			}
			if !more {
				return
			}
		}
	}
}

func readSegment(path string, f Filter, yield func(Entry, error) bool) (more bool, err error) {
	file, err := durable.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	for r := newLines(file); ; {
		line, err := r.next()
		switch {
		case err == io.EOF:
			return true, nil
		case errors.Is(err, errLong):
			continue
		case err != nil:
			return false, err
		}
		e, err := unseal(line)
		if err == nil && f.chooses(e) && !yield(e, nil) {
			return false, nil
		}
	}
}
