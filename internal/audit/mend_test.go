package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTornAnywhere cuts the last segment after each of its bytes: every whole line stays, a torn
// one is cut off and said, and the log goes on.
func TestTornAnywhere(t *testing.T) {
	dir, _ := threeSegments(t)
	files := paths(t, dir)
	older, good := readFile(t, files[1]), readFile(t, files[2])
	for size := range len(good) {
		writeFile(t, files[1], older)
		writeFile(t, files[2], good[:size])
		whole := bytes.Count(good[:size], []byte("\n"))
		torn := size > 0 && good[size-1] != '\n'
		l := open(t, dir)
		add(t, l, 1)
		head := l.Head()
		verify(t, dir, head)
		if said := len(read(t, dir, KindRepair)) > 0; said != (torn && whole > 0) {
			t.Errorf("cut at %d: said %v, want %v", size, said, torn)
		}
		want := 8 + whole + 1 // two segments, what is whole, the new one
		if torn && whole > 0 {
			want++
		}
		if whole == 0 {
			want = 9 // the segment itself is gone
		}
		if head.Count != uint64(want) {
			t.Errorf("cut at %d: %d entries, want %d", size, head.Count, want)
		}
		l.Close()
	}
}

// TestTornZeros is what a power cut leaves on file systems that grow a file before its data is
// there.
func TestTornZeros(t *testing.T) {
	dir, head := threeSegments(t)
	path := paths(t, dir)[2]
	writeFile(t, path, append(readFile(t, path), make([]byte, 5*MaxLine)...))
	l := open(t, dir)
	verify(t, dir, head, l.Head())
	if got := read(t, dir, KindRepair); len(got) != 1 || !strings.Contains(got[0].Summary, "81920 bytes") {
		t.Errorf("said %+v", got)
	}
}

// TestDamageStays damages lines in the last segments: Open goes on, and Verify still finds the
// damage.
func TestDamageStays(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  map[int]int // which line of which segment
	}{
		{"last line", map[int]int{2: 3}},
		{"middle line", map[int]int{2: 1}},
		{"anchor", map[int]int{2: 0}},
		{"two anchors", map[int]int{2: 0, 1: 0}},
		{"anchor and a line", map[int]int{2: 0, 1: 2}},
		{"all anchors", map[int]int{2: 0, 1: 0, 0: 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, head := threeSegments(t)
			for i, path := range paths(t, dir) {
				if n, ok := tt.bad[i]; ok {
					lines := bytes.SplitAfter(readFile(t, path), []byte("\n"))
					lines[n][20] ^= 1
					writeFile(t, path, bytes.Join(lines, nil))
				}
			}
			l := open(t, dir)
			add(t, l, 1)
			if got := read(t, dir, KindDamage); len(got) != 1 {
				t.Errorf("said %+v", got)
			}
			wantBroken(t, dir, "after opening", head)
			l.Close()
			open(t, dir) // and again, where all is in order at the end
			wantBroken(t, dir, "after opening twice", head)
		})
	}
}

// TestDamageInOldest damages the only segment left, whose number is not to be given again.
func TestDamageInOldest(t *testing.T) {
	dir, head := threeSegments(t)
	files := paths(t, dir)
	os.Remove(files[0])
	os.Remove(files[1])
	data := readFile(t, files[2])
	data[20] ^= 1
	writeFile(t, files[2], data)
	if got := open(t, dir).Head().Count; got != 10 {
		t.Errorf("goes on at %d, want 10: anchor 9 and what is said", got)
	}
	wantBroken(t, dir, "after opening", head)
}

// TestFailedWrite lets the disk fail: what failed is not acknowledged, and nothing is appended
// after a sync whose outcome is unknown.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 2)
	head := l.Head()
	l.seg.file.Close()
	for range 2 {
		if _, err := l.Append(t.Context(), command(0)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("got %v, want fs.ErrClosed", err)
		}
	}
	if l.Head() != head {
		t.Errorf("head moved to %+v", l.Head())
	}
	verify(t, dir, head)
	if err := l.Close(); err == nil {
		t.Error("Close hides that the file was closed")
	}
	add(t, open(t, dir), 1)
}

func TestStrangeFiles(t *testing.T) {
	dir, head := threeSegments(t)
	for _, name := range []string{"1.audit", "x.audit", "-0000000000000000001.audit", "notes.txt"} {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
	}
	if err := os.Mkdir(segmentPath(dir, 99), 0o700); err != nil {
		t.Fatal(err)
	}
	if l := open(t, dir); l.Head() != head {
		t.Errorf("head %+v, want %+v", l.Head(), head)
	}
	verify(t, dir, head)
}
