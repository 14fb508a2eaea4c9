package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAppendReadVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir)
	want := add(t, l, 5)
	if got := read(t, dir, KindCommand); !slices.Equal(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	head := l.Head()
	if last := want[4]; head != (Head{Count: 6, Hash: last.Hash}) || last.Seq != 6 {
		t.Errorf("head %+v after entry %+v", head, last)
	}
	if r := verify(t, dir, head, Head{Count: want[1].Seq, Hash: want[1].Hash}); r.Head != head || r.Entries != 6 || r.First != 1 {
		t.Errorf("report %+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), command(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	again := open(t, dir)
	if again.Head() != head {
		t.Errorf("head after opening again: %+v, want %+v", again.Head(), head)
	}
	add(t, again, 1)
	verify(t, dir, head, again.Head())
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("mode bits say nothing on Windows")
	}
	dir := filepath.Join(t.TempDir(), "audit")
	add(t, open(t, dir), 1)
	for path, want := range map[string]os.FileMode{dir: 0o700, paths(t, dir)[0]: 0o600, filepath.Join(dir, "lock"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"no directory", Config{}, false},
		{"smallest", Config{Dir: t.TempDir(), SegmentBytes: MinSegmentBytes, Segments: 2}, true},
		{"small segments", Config{Dir: t.TempDir(), SegmentBytes: MinSegmentBytes - 1}, false},
		{"one segment", Config{Dir: t.TempDir(), Segments: 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Open(tt.cfg)
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, want ok %v", err, tt.ok)
			}
			if l != nil {
				l.Close()
			}
		})
	}
}

func TestInvalidEntries(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	long := strings.Repeat("\x01", MaxWord) // the longest there is, once it is JSON
	for _, tt := range []struct {
		name string
		edit func(*Entry)
		ok   bool
	}{
		{"longest", func(e *Entry) {
			e.Kind, e.Peer, e.Name, e.Verb, e.Type, e.ID, e.Result = Kind(long), long, long, long, long, long, long
			e.Summary = strings.Repeat("\x01", MaxSummary)
		}, true},
		{"no kind", func(e *Entry) { e.Kind = "" }, false},
		{"anchor", func(e *Entry) { e.Kind = KindAnchor }, false},
		{"repair", func(e *Entry) { e.Kind = KindRepair }, false},
		{"damage", func(e *Entry) { e.Kind = KindDamage }, false},
		{"time", func(e *Entry) { e.Time = -1 }, false},
		{"long kind", func(e *Entry) { e.Kind = Kind(long + "x") }, false},
		{"long peer", func(e *Entry) { e.Peer = long + "x" }, false},
		{"long name", func(e *Entry) { e.Name = long + "x" }, false},
		{"long verb", func(e *Entry) { e.Verb = long + "x" }, false},
		{"long type", func(e *Entry) { e.Type = long + "x" }, false},
		{"long id", func(e *Entry) { e.ID = long + "x" }, false},
		{"long result", func(e *Entry) { e.Result = long + "x" }, false},
		{"long summary", func(e *Entry) { e.Summary = strings.Repeat("x", MaxSummary+1) }, false},
		{"not UTF-8", func(e *Entry) { e.Summary = "\xff" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, before := command(0), l.Head()
			tt.edit(&e)
			_, err := l.Append(t.Context(), e)
			if tt.ok != (err == nil) || (!tt.ok && (!errors.Is(err, ErrInvalid) || l.Head() != before)) {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, command(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	verify(t, dir, l.Head())
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	first := l.Head()
	all := add(t, l, 600)
	files := paths(t, dir)
	if len(files) != 4 {
		t.Fatalf("%d segments, want 4", len(files))
	}
	for _, p := range files {
		if n := len(readFile(t, p)); n > MinSegmentBytes {
			t.Errorf("%s has %d bytes, more than %d", p, n, MinSegmentBytes)
		}
	}
	report := verify(t, dir, first, l.Head())
	if report.First == 1 || report.Dropped != 1 || report.Head != l.Head() {
		t.Errorf("report %+v", report)
	}
	var joined []byte
	for _, p := range files {
		joined = append(joined, readFile(t, p)...)
	}
	if r, err := verifyReader(bytes.NewReader(joined), first, l.Head()); err != nil || r != report {
		t.Errorf("by a reader: %+v, %v; want %+v", r, err, report)
	}
	got := read(t, dir, KindCommand)
	if n := len(got); n < 99 || !slices.Equal(got[n-99:], all[501:]) {
		t.Errorf("read %d entries after the 501st of 600", len(got))
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 10 {
		if _, err := l.Append(t.Context(), Entry{Kind: KindCommand, Time: int64(1000 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[int64]int{0: 11, 1003: 8} { // with the anchor, which is of now
		n := 0
		for _, err := range Read(dir, time.UnixMilli(since)) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != want {
			t.Errorf("since %d: %d entries, want %d", since, n, want)
		}
	}
	for range Read(dir, time.Time{}) {
		break // a reader may stop early
	}
	for _, err := range Read(filepath.Join(dir, "none"), time.Time{}) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("missing directory: %v", err)
		}
	}
}

// TestConcurrent appends from many goroutines while others read and verify.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Config{Dir: dir, SegmentBytes: MinSegmentBytes, Segments: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 16 {
		writers.Go(func() {
			for i := range 40 {
				e, err := l.Append(t.Context(), command(w*40+i))
				if err != nil || e.ID != fmt.Sprint("id-", w*40+i) || e.Seq == 0 {
					t.Errorf("append: %+v, %v", e, err)
				}
			}
		})
	}
	readers.Go(func() {
		for {
			head := l.Head()
			if _, err := Verify(dir, head); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	ids := make(map[string]bool)
	for _, e := range read(t, dir, KindCommand) {
		ids[e.ID] = true
	}
	if len(ids) != 640 {
		t.Errorf("%d entries, want 640", len(ids))
	}
	verify(t, dir, l.Head())
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		if _, err := l.Append(b.Context(), command(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Append(b.Context(), command(1)); err != nil {
				b.Error(err)
			}
		}
	})
}
