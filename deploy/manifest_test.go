package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/streams"
)

// emptyHash is the SHA-256 of nothing.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// manifestOf makes a manifest of empty files, with the right release.
func manifestOf(name string, paths ...string) Manifest {
	m := Manifest{Name: name}
	for _, p := range paths {
		m.Files = append(m.Files, File{Path: p, Mode: ModeFile, SHA256: emptyHash})
	}
	m.Release = m.ComputeRelease()
	return m
}

func TestManifestPaths(t *testing.T) {
	tests := []struct {
		name  string
		paths []string
		want  string // part of the error; empty means valid
	}{
		{"one", []string{"a"}, ""},
		{"deep", []string{"a/b/c.txt", "a/b/d", "b"}, ""},
		{"dots and spaces inside", []string{"..a", ".hidden", "a b", "a..b"}, ""},
		{"unicode", []string{"größe"}, ""},
		{"almost reserved", []string{"COM10", "CONSOLE", "auxx"}, ""},
		{"longest element", []string{strings.Repeat("x", 255)}, ""},
		{"too long an element", []string{strings.Repeat("x", 256)}, "longer than 255"},
		{"longest path", []string{strings.Repeat(strings.Repeat("x", 15)+"/", 31) + strings.Repeat("y", 16)}, ""},
		{"too long a path", []string{strings.Repeat(strings.Repeat("x", 15)+"/", 31) + strings.Repeat("y", 17)}, "longer than 512"},
		{"deepest", []string{strings.Repeat("x/", 31) + "y"}, ""},
		{"too deep", []string{strings.Repeat("x/", 32) + "y"}, "33 elements"},
		{"empty", []string{""}, "relative"},
		{"dot", []string{"."}, "relative"},
		{"absolute", []string{"/etc/passwd"}, "relative"},
		{"parent", []string{"../a"}, "relative"},
		{"parent inside", []string{"a/../b"}, "relative"},
		{"not clean", []string{"a//b"}, "relative"},
		{"slash at the end", []string{"a/"}, "relative"},
		{"backslash", []string{`a\b`}, "backslash"},
		{"drive", []string{"c:a"}, "colon"},
		{"bad UTF-8", []string{"a\xff"}, "relative"},
		{"newline", []string{"a\nb"}, "control"},
		{"reserved", []string{"a/nul"}, "reserved"},
		{"reserved with ending", []string{"Com1.txt"}, "reserved"},
		{"reserved superscript", []string{"LPT²"}, "reserved"},
		{"dot at the end", []string{"a."}, "ends in a dot"},
		{"space at the end", []string{"a "}, "ends in a dot or a space"},
		{"twice", []string{"a", "a"}, "sorted"},
		{"not sorted", []string{"b", "a"}, "sorted"},
		{"case", []string{"A", "a"}, "upper and lower"},
		{"case of a directory", []string{"A/x", "a/y"}, "upper and lower"},
		{"accents", []string{"u\u0308", "\u00fc"}, "accents"},
		{"file and directory", []string{"a", "a/b"}, "at once"},
		{"file and directory, case", []string{"A", "a/b"}, "at once"},
		{"directory and file, case", []string{"A/b", "a"}, "at once"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkError(t, manifestOf("n", tt.paths...).Validate(), tt.want, streams.ErrInvalid)
		})
	}
}

func TestManifestNames(t *testing.T) {
	tests := []struct{ name, want string }{
		{"miner", ""}, {"a", ""}, {"0.1_x-y", ""}, {strings.Repeat("x", 64), ""},
		{"", "1 to 64"}, {strings.Repeat("x", 65), "1 to 64"},
		{"..", "begin"}, {".a", "begin"}, {"-rf", "begin"}, {"a/b", "only"}, {"Miner", "only"}, {"a b", "only"},
		{"ä", "only"}, {"nul", "reserved"}, {"a.", "ends"}, {"a\x00", "only"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.10q", tt.name), func(t *testing.T) {
			checkError(t, manifestOf(tt.name, "f").Validate(), tt.want, streams.ErrInvalid)
		})
	}
}

func TestManifestFields(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Manifest)
		want   string
		is     error
	}{
		{"mode", func(m *Manifest) { m.Files[0].Mode = "4755" }, "mode", streams.ErrInvalid},
		{"short hash", func(m *Manifest) { m.Files[0].SHA256 = "ab" }, "sha256", streams.ErrInvalid},
		{"upper-case hash", func(m *Manifest) { m.Files[0].SHA256 = strings.ToUpper(emptyHash) }, "sha256", streams.ErrInvalid},
		{"negative size", func(m *Manifest) { m.Files[0].Size = -1 }, "sizes", streams.ErrInvalid},
		{"sizes overflow", func(m *Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<62, 1<<62 }, "sizes", streams.ErrInvalid},
		{"no files", func(m *Manifest) { m.Files = nil }, "no files", streams.ErrInvalid},
		{"other release", func(m *Manifest) { m.Files[0].Size = 7 }, "release", streams.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := manifestOf("n", "a", "b")
			tt.change(&m)
			checkError(t, m.Validate(), tt.want, tt.is)
		})
	}
}

func TestManifestCount(t *testing.T) {
	paths := make([]string, MaxFiles+1)
	for i := range paths {
		paths[i] = fmt.Sprintf("%05d", i)
	}
	checkError(t, manifestOf("n", paths[:MaxFiles]...).Validate(), "", nil)
	checkError(t, manifestOf("n", paths...).Validate(), "at most 10000", streams.ErrTooLarge)
}

// TestManifestFrame finds the number of files at which a manifest just fits into a frame.
func TestManifestFrame(t *testing.T) {
	paths := make([]string, MaxFiles)
	for i := range paths {
		paths[i] = fmt.Sprintf("%05d", i)
	}
	size := func(n int) int {
		text, err := json.Marshal(manifestOf("n", paths[:n]...))
		if err != nil {
			t.Fatal(err)
		}
		return len(text)
	}
	perFile := size(2) - size(1)
	n := 1 + (MaxManifest-size(1))/perFile
	checkError(t, manifestOf("n", paths[:n]...).checkFrame(), "", nil)
	checkError(t, manifestOf("n", paths[:n+1]...).checkFrame(), "archive", streams.ErrTooLarge)
}

// TestReleaseVector pins the canonical text, which other implementations have to follow.
func TestReleaseVector(t *testing.T) {
	m := Manifest{Name: "demo", Files: []File{
		{Path: "bin/run", Mode: ModeExec, Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{Path: "empty", Mode: ModeFile, Size: 0, SHA256: emptyHash},
	}}
	const want = "8e763e45229f1752"
	if got := m.ComputeRelease(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzManifest: whatever arrives, a manifest that is accepted stays inside its directory.
func FuzzManifest(f *testing.F) {
	for _, m := range []Manifest{manifestOf("n", "a/b", "c"), manifestOf("x", "../a"), manifestOf("y", "a", "a/b"), manifestOf("z", `a\b`)} {
		text, err := json.Marshal(Request{Manifest: m})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"manifest":{"name":"n","release":"","files":[{}]},"size":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Request
		if json.Unmarshal(text, &r) != nil || r.Validate() != nil {
			return
		}
		if r.Size < 0 || !slices.IsSortedFunc(r.Manifest.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) }) {
			t.Fatalf("accepted %+v", r)
		}
		for _, file := range r.Manifest.Files {
			if !fs.ValidPath(file.Path) || !filepath.IsLocal(file.Path) || strings.ContainsAny(file.Path, "\\:\n") {
				t.Fatalf("accepted path %q", file.Path)
			}
		}
	})
}

func checkError(t *testing.T, err error, want string, is error) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want one with %q", err, want)
	case want != "" && is != nil && !errors.Is(err, is):
		t.Errorf("got %v, want code %v", err, streams.CodeOf(is))
	}
}
