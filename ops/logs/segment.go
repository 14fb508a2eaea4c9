package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	suffix = ".log"
	// blockBytes is how much is read at once.
	blockBytes = 64 << 10
)

func (l *Log) path(s segment) string {
	return filepath.Join(l.dir, fmt.Sprintf("%020d%s", s.base, suffix))
}

// listSegments finds the segments in dir, oldest first.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log segments: %w", err)
	}
	var found []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		base, err := strconv.ParseInt(name, 10, 64)
		if !ok || err != nil || base < 0 || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("look at log segment: %w", err)
		}
		found = append(found, segment{base, info.Size()})
	}
	slices.SortFunc(found, func(a, b segment) int { return int(max(-1, min(1, a.base-b.base))) })
	return joinEnds(found), nil
}

// joinEnds makes each segment end where the next one begins. A power cut may have left one short,
// and what is missing then reads as an empty stretch; one that is too long is cut off by its
// successor.
func joinEnds(found []segment) []segment {
	for i := range len(found) - 1 {
		found[i].size = min(found[i].size, found[i+1].base-found[i].base)
	}
	return found
}

// reopenLast opens the newest segment for writing, without the torn line at its end.
func (l *Log) reopenLast() error {
	last := &l.segments[len(l.segments)-1]
	f, err := durable.OpenFile(l.path(*last), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	last.size, err = lineStartBefore(f, last.size)
	if err == nil {
		err = f.Truncate(last.size)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file = f
	l.lastTime = lastTime(f, last.size)
	return nil
}

// lineStartBefore returns the end of the last whole line in the first size bytes.
func lineStartBefore(f io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, blockBytes)
	for size > 0 {
		from := max(0, size-blockBytes)
		b := block[:size-from]
		if _, err := f.ReadAt(b, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		size = from
	}
	return 0, nil
}

// lastTime reads the time of the last line in the first size bytes, 0 when there is none.
func lastTime(f io.ReaderAt, size int64) int64 {
	if size == 0 {
		return 0
	}
	start, err := lineStartBefore(f, size-1)
	if err != nil {
		return 0
	}
	b := make([]byte, min(size-start, maxHeader))
	if _, err := f.ReadAt(b, start); err != nil {
		return 0
	}
	return recordTime(b)
}
