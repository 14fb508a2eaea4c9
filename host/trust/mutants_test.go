//go:build slow

package trust

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// flawStart is the seed from which each flaw is searched, and flawBudget how many histories it may
// take, as many as the fast set has.
const (
	flawStart  = 1
	flawBudget = modelHistories
	flawChunk  = 500
)

// overlay writes the changed files, and what go build has to know of them.
func (f flaw) overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range f.changed(t) {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMutants puts each flaw back alone, and plays histories until one shows it.
func TestMutants(t *testing.T) {
	table := []string{"flaw | from | what | histories until found | first seen as"}
	for _, f := range flaws() {
		t.Run(f.name, func(t *testing.T) {
			row := fmt.Sprintf("%s | %s | %s | ", f.name, f.from, f.what)
			if f.not != "" {
				table = append(table, row+"not here | "+f.not)
				return
			}
			most := flawBudget
			if f.rare {
				most *= 2
			}
			n, seen := searchFlaw(t, f, most)
			if n == 0 {
				t.Errorf("not found in %d histories", most)
			}
			t.Logf("found by history %d: %s", n, seen)
			table = append(table, fmt.Sprintf("%s%d | %s", row, n, seen))
		})
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

// searchFlaw returns how many histories it took, 0 for more than these, and what was seen.
func searchFlaw(t *testing.T, f flaw, most int) (int, string) {
	t.Helper()
	f.edits = append(f.edits, remembering(), needsSync())
	program := modelProgram(t, f.overlay(t))
	for at := 0; at < most; at += flawChunk {
		r := &told{broken: map[uint64]string{}, seen: map[string]int{}}
		if err := r.runParts(t, program, flawStart+uint64(at), min(flawChunk, most-at), true); err != nil {
			t.Fatal(err)
		}
		if found := slices.Sorted(maps.Keys(r.broken)); len(found) > 0 {
			short, _, _ := strings.Cut(r.broken[found[0]], "\n")
			return int(found[0]) - flawStart + 1, short
		}
	}
	return 0, ""
}
