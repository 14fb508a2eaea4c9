package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		crashChild()
	}
	goleak.VerifyTestMain(m)
}

// open opens a log of small segments and closes it in the end.
func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir, SegmentBytes: MinSegmentBytes, Segments: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// add appends n entries and returns them.
func add(t testing.TB, l *Log, n int) []Entry {
	t.Helper()
	var out []Entry
	for i := range n {
		e, err := l.Append(t.Context(), command(i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func command(i int) Entry {
	return Entry{
		Kind: KindCommand, Peer: "12D3KooWPeer", Name: "laptop", Verb: "miner.control", Type: "start_miner",
		ID: fmt.Sprint("id-", i), Summary: `miner=xmrig "quoted"`, Result: ResultBegun,
	}
}

// read collects the entries of these kinds; of all without any.
func read(t testing.TB, dir string, kinds ...Kind) []Entry {
	t.Helper()
	var out []Entry
	for e, err := range Read(dir, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

func verify(t testing.TB, dir string, known ...Head) Report {
	t.Helper()
	report, err := Verify(dir, known...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// paths are the segments' files.
func paths(t testing.TB, dir string) []string {
	t.Helper()
	names, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		out = append(out, n.path)
	}
	return out
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantBroken(t testing.TB, dir, what string, known ...Head) {
	t.Helper()
	report, err := Verify(dir, known...)
	if !errors.Is(err, ErrBroken) {
		t.Errorf("%s: got %v (%+v), want ErrBroken", what, err, report)
	}
}
