package cp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/streams"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("x", maxElement)
	deep := strings.Repeat("x/", MaxDepth-1) + "x"
	for _, tt := range []struct {
		path            string
		unix, onWindows bool
	}{
		{".", true, true}, {"a", true, true}, {"a/b", true, true}, {"ünï/ö", true, true}, {"a b", true, true}, {"-rf", true, true},
		{long, true, true}, {long + "x", false, false}, {deep, true, true}, {deep + "/x", false, false},
		{strings.Repeat(strings.Repeat("x", 62)+"/", 65) + "x", true, true}, {strings.Repeat(strings.Repeat("x", 63)+"/", 64) + "x", false, false},
		{"", false, false}, {"..", false, false}, {"../a", false, false}, {"a/..", false, false}, {"/a", false, false}, {"a/", false, false}, {"a//b", false, false}, {"./a", false, false}, {"a/./b", false, false},
		{"a\x00b", false, false}, {"a\nb", false, false}, {"a\x1b", false, false}, {"a\u0085", false, false}, {"a\xff", false, false},
		{".x.swarm-part", false, false}, {".x.SWARM-PART", false, false}, {"d/.x.swarm-part", false, false}, {"x.swarm-part", true, true},
		{`a\b`, true, false}, {`..\a`, true, false}, {"C:", true, false}, {"a:b", true, false}, {"a*", true, false}, {"con", true, false}, {"d/NUL.txt", true, false},
		{"COM1", true, false}, {"com¹.x", true, false}, {"LPT9 .x", true, false}, {"COM10", true, true}, {"a.", true, false}, {"a ", true, false}, {"...", true, false},
	} {
		if err := checkPathOn("linux", tt.path); (err == nil) != tt.unix {
			t.Errorf("%.60q on Linux: %v", tt.path, err)
		}
		if err := checkPathOn("windows", tt.path); (err == nil) != tt.onWindows {
			t.Errorf("%.60q on Windows: %v", tt.path, err)
		}
	}
	if a, b := foldedOn("windows", "Ä"), foldedOn("windows", "a\u0308"); a != b || foldedOn("linux", "A") == "a" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestPart(t *testing.T) {
	for n := 1; n <= maxElement; n++ {
		for _, name := range []string{strings.Repeat("x", n), strings.Repeat("ü", n/2) + "y"} {
			part := partOf(name)
			if len(part) > maxElement || !isPart(part) || isPart(name) || strings.Contains(part, "\ufffd") {
				t.Fatalf("%q is %q until it is whole", name, part)
			}
		}
	}
	if a, b := partOf(strings.Repeat("x", 250)+"a"), partOf(strings.Repeat("x", 250)+"b"); a == b {
		t.Errorf("two names have the part %s", a)
	}
}

// What is named is bounded.
func TestNamed(t *testing.T) {
	n := named{}
	must := func(e Entry, want error) {
		t.Helper()
		if err := n.add(e); !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", e.Path, err, want)
		}
	}
	must(Entry{Path: ".", Kind: KindDir}, nil)
	for i := 1; i < MaxEntries; i++ {
		must(Entry{Path: fmt.Sprint(i), Kind: KindFile}, nil)
	}
	must(Entry{Path: "x", Kind: KindFile}, streams.ErrTooLarge)
	n = named{names: MaxNames - 2}
	must(Entry{Path: ".", Kind: KindDir}, nil)
	must(Entry{Path: "x", Kind: KindFile}, nil)
	must(Entry{Path: "y", Kind: KindFile}, streams.ErrTooLarge)
	n = named{}
	must(Entry{Path: ".", Kind: KindDir}, nil)
	must(Entry{Path: "x", Kind: KindFile, Size: maxInteger - 1}, nil)
	must(Entry{Path: "y", Kind: KindFile, Size: 1}, streams.ErrTooLarge)
}

// Requests and messages are bounded.
func TestValidate(t *testing.T) {
	long := strings.Repeat("x/", MaxPath/2)
	ok := WriteRequest{Path: long, Name: "x", Entries: MaxEntries, Bytes: maxInteger - 1}
	with := func(change func(*WriteRequest)) error {
		r := ok
		change(&r)
		return r.Validate()
	}
	marks := func(n int) (out []Mark) {
		for i := range n {
			out = append(out, Mark{At: int64(i) + 1})
		}
		return out
	}
	for i, tt := range []struct{ got, want error }{
		{ok.Validate(), nil},
		{with(func(r *WriteRequest) { r.Path += "x" }), streams.ErrTooLarge},
		{with(func(r *WriteRequest) { r.Path = "\x1b" }), streams.ErrInvalid},
		{with(func(r *WriteRequest) { r.Name = "" }), streams.ErrInvalid},
		{with(func(r *WriteRequest) { r.Name, r.Dir = "", true }), nil},
		{with(func(r *WriteRequest) { r.Name = ".." }), streams.ErrInvalid},
		{with(func(r *WriteRequest) { r.Name = "a/b" }), streams.ErrInvalid},
		{with(func(r *WriteRequest) { r.Entries++ }), streams.ErrTooLarge},
		{with(func(r *WriteRequest) { r.Entries = 0 }), streams.ErrTooLarge},
		{with(func(r *WriteRequest) { r.Bytes++ }), streams.ErrInvalid},
		{with(func(r *WriteRequest) { r.Bytes = -1 }), streams.ErrInvalid},
		{ReadRequest{Path: long}.Validate(), nil},
		{ReadRequest{Path: long + "x"}.Validate(), streams.ErrTooLarge},
		{checkMarks(marks(MaxMarks), MaxMarks), nil},
		{checkMarks(marks(MaxMarks+1), MaxMarks+1), streams.ErrTooLarge},
		{checkMarks(marks(2), 1), streams.ErrInvalid},
		{checkMarks([]Mark{{At: 2}, {At: 2}}, 9), streams.ErrInvalid},
		{checkMarks([]Mark{{At: 0}}, 9), streams.ErrInvalid},
	} {
		if (tt.want == nil) != (tt.got == nil) || !errors.Is(tt.got, tt.want) {
			t.Errorf("%d: %v, want %v", i, tt.got, tt.want)
		}
	}
}

func TestBase(t *testing.T) {
	for p, want := range map[string]string{
		"/srv/x": "x", "/srv/x/": "x", "x": "x", "/srv/x/.": "", ".": "", "..": "", "/": "", "": "", "a/..": "",
		`C:\data\x`: "x", `C:\data\`: "data", `a\b`: "b", `/srv/a\b`: `a\b`,
	} {
		if got := remoteBase(p); got != want {
			t.Errorf("%q: %q, want %q", p, got, want)
		}
	}
}
