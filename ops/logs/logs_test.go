package logs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, cfg logs.Config) *logs.Log {
	t.Helper()
	l, err := logs.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func print(l *logs.Log, stream logs.Stream, format string, args ...any) {
	w := l.Writer(stream)
	_, _ = fmt.Fprintf(w, format, args...)
	_ = w.Close()
}

func texts(p logs.Page) []string {
	var ts []string
	for _, l := range p.Lines {
		ts = append(ts, l.Text)
	}
	return ts
}

func read(t *testing.T, l *logs.Log, offset int64, q logs.Query) logs.Page {
	t.Helper()
	p, err := l.Read(offset, q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tail(t *testing.T, l *logs.Log, q logs.Query) logs.Page {
	t.Helper()
	p, err := l.Tail(q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func want(t *testing.T, p logs.Page, lines ...string) {
	t.Helper()
	if got := texts(p); strings.Join(got, "|") != strings.Join(lines, "|") {
		t.Errorf("got lines %q, want %q", got, lines)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", logs.MaxText)
	euro := strings.Repeat("€", logs.MaxText/3+1) // MaxText is in the middle of a character
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"one", []string{"hello\n"}, []string{"hello"}},
		{"carriage return", []string{"hello\r\n"}, []string{"hello"}},
		{"empty line", []string{"\n\n"}, []string{"", ""}},
		{"in pieces", []string{"he", "llo\nwor", "ld\n"}, []string{"hello", "world"}},
		{"no line end", []string{"hello"}, []string{"hello"}},
		{"bad UTF-8", []string{"a\xff\xfeb\n"}, []string{"a?b"}},
		{"longest", []string{long + "\n"}, []string{long}},
		{"one byte longer", []string{long + "y\n"}, []string{long, "y"}},
		{"split between characters", []string{euro + "\n"}, []string{euro[:len(euro)-3], "€"}},
		{"control characters stay", []string{"\x1b[31mred\n"}, []string{"\x1b[31mred"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, t.TempDir(), logs.Config{})
			w := l.Writer(logs.Stderr)
			for _, s := range tt.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatalf("Write() = %d, %v", n, err)
				}
			}
			_ = w.Close()
			p := read(t, l, 0, logs.Query{})
			want(t, p, tt.want...)
			for _, line := range p.Lines {
				if line.Stream != logs.Stderr || time.Since(time.UnixMilli(line.Time)).Abs() > time.Minute {
					t.Errorf("line is %+v", line)
				}
			}
		})
	}
}

func TestReadOnAndTail(t *testing.T) {
	l := open(t, t.TempDir(), logs.Config{})
	for i := range 10 {
		print(l, logs.Stdout, "line %d\n", i)
	}
	first := read(t, l, 0, logs.Query{Lines: 3})
	want(t, first, "line 0", "line 1", "line 2")
	if !first.More {
		t.Error("More is false with 7 lines left")
	}
	rest := read(t, l, first.Next, logs.Query{Lines: 7})
	want(t, rest, "line 3", "line 4", "line 5", "line 6", "line 7", "line 8", "line 9")
	if rest.More || rest.Next != l.End() {
		t.Errorf("More = %v, Next = %d, want false and the end %d", rest.More, rest.Next, l.End())
	}
	want(t, read(t, l, first.Lines[1].Offset+1, logs.Query{Lines: 1}), "line 2") // inside line 1
	last := tail(t, l, logs.Query{Lines: 2})
	want(t, last, "line 8", "line 9")
	if !last.More || last.Next != l.End() {
		t.Errorf("Tail: More = %v, Next = %d, want true and the end %d", last.More, last.Next, l.End())
	}
	if all := tail(t, l, logs.Query{}); all.More || len(all.Lines) != 10 {
		t.Errorf("Tail of all: %d lines, more %v", len(all.Lines), all.More)
	}
	if _, err := l.Read(l.End()+1, logs.Query{}); !errors.Is(err, logs.ErrBeyondEnd) {
		t.Errorf("Read beyond the end: %v", err)
	}
}

func TestTimes(t *testing.T) {
	l := open(t, t.TempDir(), logs.Config{SegmentBytes: 1})
	var marks []int64
	for i := range 3000 { // several segments
		print(l, logs.Stdout, "line %d\n", i)
		if i%1000 == 999 {
			marks = append(marks, time.Now().UnixMilli())
			for time.Now().UnixMilli() <= marks[len(marks)-1]+1 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	offset, err := l.OffsetAt(marks[1] + 1)
	if err != nil {
		t.Fatal(err)
	}
	p := read(t, l, offset, logs.Query{Lines: 1})
	want(t, p, "line 2000")
	want(t, tail(t, l, logs.Query{Lines: 1, Until: marks[1]}), "line 1999")
	p = read(t, l, offset, logs.Query{Until: marks[1]})
	if len(p.Lines) != 0 || !p.Over || p.More {
		t.Errorf("Read past Until: %d lines, over %v, more %v", len(p.Lines), p.Over, p.More)
	}
	if end, err := l.OffsetAt(time.Now().UnixMilli() + 10_000); err != nil || end != l.End() {
		t.Errorf("OffsetAt the future = %d, %v, want the end %d", end, err, l.End())
	}
}

func TestRotationAndGap(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, logs.Config{SegmentBytes: 1, Segments: 2})
	for i := range 2000 {
		print(l, logs.Stdout, "line %d\n", i)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 2 {
		t.Fatalf("%d segments on disk, want 2", len(files))
	}
	p := read(t, l, 10, logs.Query{Lines: 1})
	if p.Gap == nil || p.Gap.From != 10 || p.Gap.To != p.Lines[0].Offset {
		t.Fatalf("gap is %+v before line %+v", p.Gap, p.Lines[0])
	}
	if again := read(t, l, p.Next, logs.Query{}); again.Gap != nil {
		t.Errorf("the gap was told twice: %+v", again.Gap)
	}
	want(t, tail(t, l, logs.Query{Lines: 1}), "line 1999")
}

func TestRestart(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, file string)
	}{
		{"clean", func(*testing.T, string) {}},
		{"torn last line", func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.WriteString("1763680000000 o half of a li")
			_ = f.Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir, logs.Config{})
			print(l, logs.Stdout, "before\n")
			end := l.End()
			if err := errors.Join(l.Close(), l.Close()); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			tt.spoil(t, files[0])
			l = open(t, dir, logs.Config{})
			if l.End() != end {
				t.Errorf("End() = %d after the restart, want %d", l.End(), end)
			}
			print(l, logs.Stdout, "after\n")
			want(t, read(t, l, 0, logs.Query{}), "before", "after")
			want(t, read(t, l, end, logs.Query{}), "after")
		})
	}
}

func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes there")
	}
	dir := filepath.Join(t.TempDir(), "log")
	open(t, dir, logs.Config{})
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for path, mode := range map[string]os.FileMode{dir: 0o700, files[0]: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode().Perm(), mode, err)
		}
	}
}

func TestChanged(t *testing.T) {
	l := open(t, t.TempDir(), logs.Config{})
	waiting := l.Changed(l.End())
	select {
	case <-waiting:
		t.Fatal("woken with nothing written")
	default:
	}
	print(l, logs.Stdout, "x\n")
	<-waiting
	<-l.Changed(0)
	waiting = l.Changed(l.End())
	_ = l.Close()
	<-waiting
	<-l.Changed(l.End())
}

// A page must fit a message, whatever the lines are made of.
func TestPageIsBounded(t *testing.T) {
	tests := []struct {
		name, line string
		count      int
	}{
		{"empty lines", "\n", logs.MaxLines + 1},
		{"control characters", strings.Repeat("\x01", logs.MaxText) + "\n", 100},
		{"long lines", strings.Repeat("x", logs.MaxText) + "\n", 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, t.TempDir(), logs.Config{})
			print(l, logs.Stdout, "%s", strings.Repeat(tt.line, tt.count))
			for name, p := range map[string]logs.Page{"read": read(t, l, 0, logs.Query{}), "tail": tail(t, l, logs.Query{})} {
				b, err := json.Marshal(p.Lines)
				if err != nil || len(b) > 512<<10 || len(p.Lines) == 0 || !p.More {
					t.Errorf("%s: %d lines, %d bytes, more %v, %v", name, len(p.Lines), len(b), p.More, err)
				}
			}
		})
	}
}

// FuzzOpen opens a directory with a damaged segment.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("1763680000000 o hello\n1763680000001 e world\n"))
	f.Add([]byte("1763680000000 o torn"))
	f.Add([]byte("no record\n\n \n1 x y\n99999999999999999999 o z\n"))
	f.Add([]byte("1 o \xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000000000000000000.log"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := logs.Open(dir, logs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		print(l, logs.Stdout, "new\n")
		p := read(t, l, 0, logs.Query{})
		if !p.More && (len(p.Lines) == 0 || p.Lines[len(p.Lines)-1].Text != "new") {
			t.Errorf("the new line is not the last one: %q", texts(p))
		}
		for _, line := range p.Lines {
			if !utf8.ValidString(line.Text) {
				t.Errorf("line %+v is not valid UTF-8", line)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{80, 32 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l := open(b, b.TempDir(), logs.Config{})
			w := l.Writer(logs.Stdout)
			chunk := []byte(strings.Repeat(strings.Repeat("x", 79)+"\n", size/80))
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = w.Write(chunk)
			}
		})
	}
}

func Example() {
	dir, _ := os.MkdirTemp("", "logs")
	defer os.RemoveAll(dir)
	log, err := logs.Open(dir, logs.Config{})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	fmt.Fprintf(log.Writer(logs.Stdout), "accepted\nrejected\n")
	page, _ := log.Read(0, logs.Query{})
	for _, line := range page.Lines {
		fmt.Println(line.Stream, line.Text)
	}
	// Output:
	// stdout accepted
	// stdout rejected
}
