package logs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/logs"
)

func beside(t *testing.T, dir string) *logs.Log {
	t.Helper()
	l := logs.Beside(dir)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A log that is not there yet is an empty one, and what is written to it later is seen.
func TestBesideSeesWhatIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := beside(t, dir)
	if l.End() != 0 {
		t.Errorf("End() = %d where there is no log", l.End())
	}
	want(t, tail(t, l, logs.Query{}))
	changed := l.Changed(0)
	w := open(t, dir, logs.Config{})
	print(w, logs.Stdout, "one\ntwo\n")
	<-changed
	page := read(t, l, 0, logs.Query{})
	want(t, page, "one", "two")
	print(w, logs.Stderr, "three\n")
	<-l.Changed(page.Next)
	want(t, read(t, l, page.Next, logs.Query{}), "three")
	want(t, tail(t, l, logs.Query{Lines: 2}), "two", "three")
	if at, err := l.OffsetAt(1); err != nil || at != 0 {
		t.Errorf("OffsetAt() = %d, %v", at, err)
	}
	if l.End() != w.End() {
		t.Errorf("End() = %d, the writer's is %d", l.End(), w.End())
	}
	if _, err := l.Read(w.End()+1, logs.Query{}); !errors.Is(err, logs.ErrBeyondEnd) {
		t.Errorf("Read() beyond the end: %v", err)
	}
}

// Half of a line is none.
func TestBesideSeesWholeLines(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, logs.Config{})
	print(w, logs.Stdout, "whole\n")
	l := beside(t, dir)
	f, err := os.OpenFile(segmentsOf(t, dir)[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("1763680000000 o half"); err != nil {
		t.Fatal(err)
	}
	page := read(t, l, 0, logs.Query{})
	if want(t, page, "whole"); l.End() != page.Next {
		t.Errorf("End() = %d, want %d", l.End(), page.Next)
	}
	if _, err := f.WriteString(" a line\n"); err != nil {
		t.Fatal(err)
	}
	want(t, read(t, l, page.Next, logs.Query{}), "half a line")
}

// Who waits is woken by Close, and nothing goes on after it.
func TestBesideCloses(t *testing.T) {
	l := beside(t, t.TempDir())
	changed := l.Changed(0)
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	<-changed
	<-l.Changed(0)
}

// Over many rotations, also with few segments, and when somebody cuts or removes segments, a reader gets
// each line once, or one gap.
func TestBesideMissesNothing(t *testing.T) {
	text := strings.Repeat("x", 4000) // two lines fill a segment
	for _, tt := range []struct {
		name  string
		spoil func(segments []string) error
	}{
		{"1000 rotations", nil},
		{"last one removed", func(s []string) error { return os.Remove(s[len(s)-1]) }},
		{"last one emptied", func(s []string) error { return os.Truncate(s[len(s)-1], 0) }},
		{"last one cut", func(s []string) error { return os.Truncate(s[len(s)-1], 777) }},
		{"first one removed", func(s []string) error { return os.Remove(s[0]) }},
		{"first one cut", func(s []string) error { return os.Truncate(s[0], 777) }},
		{"all removed", func(s []string) (err error) {
			for _, name := range s {
				err = errors.Join(err, os.Remove(name))
			}
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, dir, logs.Config{SegmentBytes: 1, Segments: 3})
			lines := 2000
			if tt.spoil != nil {
				lines = 200
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range lines {
					print(w, logs.Stdout, "%d %s\n", i, text)
					if tt.spoil != nil && i%20 == 19 {
						if err := tt.spoil(segmentsOf(t, dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
							t.Error(err)
						}
					}
				}
				print(w, logs.Stdout, "%d end\n", lines)
			}()
			seen, gaps := follow(t, beside(t, dir), lines)
			<-done
			if seen+gaps != lines+1 || seen == 0 {
				t.Errorf("%d lines seen, %d in gaps, want %d in all", seen, gaps, lines+1)
			}
			if w.Lost() != 0 {
				t.Errorf("the writer has lost %d lines", w.Lost())
			}
		})
	}
}

// follow reads up to the line with the number last. It returns how many lines it saw and how many are in
// gaps; a line that comes twice, or is missing without a gap, fails the test.
func follow(t *testing.T, l *logs.Log, last int) (seen, inGaps int) {
	t.Helper()
	next, offset := 0, int64(0)
	for next <= last {
		page, err := l.Read(offset, logs.Query{Lines: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range page.Lines {
			var n int
			if _, err := fmt.Sscan(line.Text, &n); err != nil {
				t.Fatalf("line %q: %v", line.Text, err)
			}
			if i == 0 && page.Gap != nil && n > next {
				inGaps += n - next
				next = n
			}
			if n != next {
				t.Fatalf("line %d comes where %d was due, gap %+v", n, next, page.Gap)
			}
			seen, next = seen+1, next+1
		}
		offset = page.Next
		if next <= last && len(page.Lines) == 0 {
			select {
			case <-l.Changed(offset):
			case <-time.After(30 * time.Second):
				t.Fatalf("nothing comes after line %d, at %d of %d", next-1, offset, l.End())
			}
		}
	}
	return seen, inGaps
}

func segmentsOf(t *testing.T, dir string) []string {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
