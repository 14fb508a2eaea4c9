//go:build slow

package trust

import "testing"

// flippedStride: of the bits of every file each 37th.
const flippedStride = 37

// remembering is no flaw: what was verified once is not verified again, which takes half of the time
// of a history. The fast set plays without.
func remembering() edit {
	const head = "func (f FleetID) Open(data []byte) (*Statement, error) {\n"
	return edit{"statement.go", head, `var verified struct {
	sync.Mutex
	all map[string]*Statement
}

func (f FleetID) Open(data []byte) (*Statement, error) {
	verified.Lock()
	st, known := verified.all[string(f)+string(data)]
	verified.Unlock()
	if known {
		return st, nil
	}
	st, err := f.openFirst(data)
	if err == nil {
		verified.Lock()
		if len(verified.all) == 0 || len(verified.all) >= 2_000 {
			verified.all = map[string]*Statement{}
		}
		verified.all[string(f)+string(data)] = st
		verified.Unlock()
	}
	return st, err
}

func (f FleetID) openFirst(data []byte) (*Statement, error) {
`}
}

// needsSync has the import that remembering uses.
func needsSync() edit { return edit{"statement.go", "import (\n", "import (\n\t\"sync\"\n"} }

// TestModelLong plays more histories than the fast set has time for: on two processors that are free
// it takes about half an hour.
func TestModelLong(t *testing.T) {
	quick := flaw{name: "none", edits: []edit{remembering(), needsSync()}}
	playModel(t, modelProgram(t, quick.overlay(t)), 200_000)
}
