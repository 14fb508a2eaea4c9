package agent

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// sheetFile holds the issuers that the last printed sheet names: a restore can end only whom its
// sheet names.
const sheetFile = "sheet"

const maxSheetFile = 64 << 10

// NoteSheet notes which issuers a sheet names that is about to be printed.
func (a *Admin) NoteSheet(s *trust.Sheet) error {
	var text strings.Builder
	for _, p := range slices.Concat(s.Issuers, s.Delegates) {
		fmt.Fprintln(&text, p)
	}
	return durable.WriteFile(filepath.Join(FleetDir(a.stateDir), sheetFile), []byte(text.String()), 0o600)
}

// SheetWarning returns, in words, that the printed sheet does not name all issuers, and "" otherwise.
func SheetWarning(f *trust.Fleet, stateDir string) string {
	if g := f.Self().Grant; g.MayIssue == nil || !g.MayIssue.ForAll || f.SelfErr() != nil {
		return ""
	}
	data, err := durable.ReadFile(filepath.Join(FleetDir(stateDir), sheetFile), maxSheetFile)
	if err != nil {
		return "no backup sheet was printed here yet: swarm key backup | lpr"
	}
	printed := strings.Fields(string(data))
	all, delegates := f.Issuers()
	var missing []string
	for _, p := range slices.Concat(all, delegates) {
		if !slices.Contains(printed, p.String()) {
			missing = append(missing, nameIn(f, p))
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("the printed backup sheet does not name the issuers %s, so a restore could not end them: print a new one: swarm key backup | lpr", strings.Join(missing, ", "))
}

func nameIn(f *trust.Fleet, p peer.ID) string {
	if m, ok := f.Known(p); ok {
		return m.Grant.Name
	}
	return p.String()
}
