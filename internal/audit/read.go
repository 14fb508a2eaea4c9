package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Read yields the entries of the log in dir from a time on, the oldest first; all of them for the
// zero time. The log may be in use by another process. Damaged entries are passed over: to find
// them is for [Verify]. An error is yielded once, at the end.
func Read(dir string, since time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		names, err := segments(dir)
		if err != nil {
			yield(Entry{}, fmt.Errorf("read audit log: %w", err))
			return
		}
		for _, n := range names {
			more, err := readSegment(n.path, since, yield)
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

func readSegment(path string, since time.Time, yield func(Entry, error) bool) (more bool, err error) {
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
		if err == nil && e.Time >= since.UnixMilli() && !yield(e, nil) {
			return false, nil
		}
	}
}
