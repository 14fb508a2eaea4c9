package audit

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBitFlips flips every single bit of a log of two segments. A flip in the last byte of all
// takes the last line its end, which can not be told from a crash, and so is reported as torn.
func TestBitFlips(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 3)
	l.commit.Lock()
	err := l.rotate()
	l.commit.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, 2)
	files := paths(t, dir)
	for i, path := range files {
		good := readFile(t, path)
		for at := range good {
			for bit := range 8 {
				bad := bytes.Clone(good)
				bad[at] ^= 1 << bit
				writeFile(t, path, bad)
				r, err := Verify(dir)
				torn := i == len(files)-1 && at == len(good)-1 && r.Torn > 0
				if err == nil && !torn {
					t.Fatalf("segment %d, byte %d, bit %d: not found", i, at, bit)
				}
			}
		}
		writeFile(t, path, good)
	}
	verify(t, dir, l.Head())
}

// TestTampering does by hand what somebody with the disk in hand may do.
func TestTampering(t *testing.T) {
	type files = [][][]byte // segments, lines
	forge := func(e Entry, head Head) []byte {
		_, line, err := seal(e, head)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	for _, tt := range []struct {
		name string
		edit func(files) files
	}{
		{"line removed", func(f files) files { f[1] = slices.Delete(f[1], 2, 3); return f }},
		{"line inserted", func(f files) files { f[1] = slices.Insert(f[1], 2, f[1][1]); return f }},
		{"forged line inserted", func(f files) files {
			e, _ := unseal(bytes.TrimSuffix(f[1][1], []byte("\n")))
			f[1] = slices.Insert(f[1], 2, forge(command(7), Head{Count: e.Seq, Hash: e.Hash}))
			return f
		}},
		{"lines swapped", func(f files) files { f[1][1], f[1][2] = f[1][2], f[1][1]; return f }},
		{"anchor removed", func(f files) files { f[1] = f[1][1:]; return f }},
		{"first anchor removed", func(f files) files { f[0] = f[0][1:]; return f }},
		{"first anchor forged", func(f files) files { f[0][0] = forge(Entry{Kind: KindAnchor}, Head{}); return f }},
		{"end of a middle segment cut", func(f files) files { f[1] = f[1][:2]; return f }},
		{"middle segment removed", func(f files) files { f[1] = nil; return f }},
		{"middle segment emptied", func(f files) files { f[1] = [][]byte{{}}; return f }},
		{"segments swapped", func(f files) files { f[0], f[1] = f[1], f[0]; return f }},
		{"segments joined", func(f files) files { f[0] = append(f[0], f[1]...); f[1] = nil; return f }},
		{"end of line removed", func(f files) files { f[1][2] = bytes.TrimSuffix(f[1][2], []byte("\n")); return f }},
		{"long line", func(f files) files { f[1][1] = []byte(strings.Repeat("x", 3*MaxLine) + "\n"); return f }},
		{"empty line", func(f files) files { f[1] = append(f[1], []byte("\n")); return f }},
		{"last entry cut", func(f files) files { f[2] = f[2][:len(f[2])-1]; return f }},
		{"all but the oldest cut", func(f files) files { f[1], f[2] = nil, nil; return f }},
		{"last entry written anew", func(f files) files {
			e, _ := unseal(bytes.TrimSuffix(f[2][len(f[2])-2], []byte("\n")))
			f[2][len(f[2])-1] = forge(command(8), Head{Count: e.Seq, Hash: e.Hash})
			return f
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, head := threeSegments(t)
			names := paths(t, dir)
			var f files
			for _, p := range names {
				lines := bytes.SplitAfter(readFile(t, p), []byte("\n"))
				f = append(f, lines[:len(lines)-1])
			}
			for i, lines := range tt.edit(f) {
				if lines == nil {
					os.Remove(names[i])
					continue
				}
				writeFile(t, names[i], slices.Concat(lines...))
			}
			wantBroken(t, dir, tt.name, head)
		})
	}
}

// threeSegments makes a closed log of three segments with four entries each.
func threeSegments(t *testing.T) (string, Head) {
	dir := t.TempDir()
	l := open(t, dir)
	for range 2 {
		add(t, l, 3)
		if err := l.rotate(); err != nil {
			t.Fatal(err)
		}
	}
	add(t, l, 3)
	head := l.Head()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	verify(t, dir, head)
	return dir, head
}

func TestBrokenErrorSaysWhere(t *testing.T) {
	dir, _ := threeSegments(t)
	path := paths(t, dir)[1]
	writeFile(t, path, bytes.Replace(readFile(t, path), []byte("xmrig"), []byte("other"), 1))
	_, err := Verify(dir)
	const want = "audit log: entry 6 (00000000000000000005.audit:2): its hash does not fit its content"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestVerifyNothing(t *testing.T) {
	if r := verify(t, t.TempDir(), Head{}); r != (Report{}) {
		t.Errorf("empty directory: %+v", r)
	}
	wantBroken(t, t.TempDir(), "everything removed", Head{Count: 3, Hash: "x"})
	if _, err := Verify(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing directory was verified")
	}
}

func FuzzVerifyReader(f *testing.F) {
	e, line, err := seal(Entry{Kind: KindAnchor, Time: 1}, Head{})
	if err != nil {
		f.Fatal(err)
	}
	_, second, err := seal(command(1), Head{Count: e.Seq, Hash: e.Hash})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Concat(line, second))
	f.Add(slices.Concat(line, second[:len(second)/2]))
	f.Add(slices.Concat(second, line))
	f.Add([]byte("{}\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := verifyReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		// What is accepted is lines that were sealed, and the torn rest.
		whole := data[:len(data)-int(r.Torn)]
		if uint64(bytes.Count(whole, []byte("\n"))) != r.Entries || bytes.Contains(data[len(whole):], []byte("\n")) {
			t.Errorf("accepted %q as %+v", data, r)
		}
	})
}

// verifyReader does what [Verify] does for the lines of one or more segments that follow each
// other.
func verifyReader(r io.Reader, known ...Head) (Report, error) {
	v := newVerifier(known)
	if err := v.read(r); err != nil {
		return v.report, err
	}
	return v.report, v.finish()
}
