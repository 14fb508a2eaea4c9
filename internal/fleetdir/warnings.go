package fleetdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// sheetFile holds the issuers that the last printed sheet names: a restore can end only whom its
// sheet names.
const sheetFile = "sheet"

const maxSheetFile = 64 << 10

// NoteSheet notes which issuers a sheet names that is about to be printed.
func NoteSheet(stateDir string, s *rootkey.Sheet) error {
	var text strings.Builder
	for _, p := range slices.Concat(s.Issuers, s.Delegates) {
		fmt.Fprintln(&text, p)
	}
	return durable.WriteFile(filepath.Join(Dir(stateDir), sheetFile), []byte(text.String()), 0o600)
}

// SheetWarning returns, in words, that the printed sheet does not name all issuers, and ""
// otherwise.
func SheetWarning(f *trust.Fleet, stateDir string) string {
	if g := f.Self().Grant; g.MayIssue == nil || !g.MayIssue.ForAll || f.SelfErr() != nil {
		return ""
	}
	data, err := durable.ReadFile(filepath.Join(Dir(stateDir), sheetFile), maxSheetFile)
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

// Warnings returns, in words, whose grants end within 30 days or have ended, and who renews them:
// this machine's own first. Without a fleet there are none.
func Warnings(f *trust.Fleet) (out []string) {
	if f == nil {
		return nil
	}
	own := f.Self()
	signed := map[peer.ID]int{}
	members := f.Members()
	for _, m := range members {
		if m.Err == nil {
			signed[m.Grant.By]++
		}
	}
	out = append(out, ending(f, own.Grant, signed)...)
	for _, m := range members {
		mine := own.Grant.MayIssue != nil && m.Peer != own.Grant.Subject && !m.Grant.NoRenew
		if mine && !f.Revoked(m.Peer) {
			out = append(out, ending(f, m.Grant, signed)...)
		}
	}
	if err := f.SelfErr(); err != nil && !errors.Is(err, trust.ErrExpired) {
		out = append(out, err.Error())
	}
	if err := f.Whole(); err != nil {
		out = append(out, err.Error())
	}
	if !f.ClockSane() {
		out = append(out, "the clock of this machine cannot be right: set it")
	}
	return out
}

// ending warns of a grant that ends soon, or has ended, and counts what ends with it.
func ending(f *trust.Fleet, g *trust.Grant, signed map[peer.ID]int) []string {
	w := g.Warning(f.Now())
	if w == "" {
		return nil
	}
	w += "; renew it with: swarm renew"
	if g.MayIssue != nil {
		w += " " + g.Name + " --as-root"
		if n := signed[g.Subject]; n > 0 {
			w += fmt.Sprintf(" (%d members have their grants from it, which count no longer than its own)", n)
		}
	}
	return []string{w}
}

// Waits reports whether a member Waits for a person, or will once it is met: its signer has ended,
// or the one whose ticket brought it in.
func Waits(m trust.Member) bool {
	return m.Grant.MayIssue == nil && (m.Err == nil && m.Unconfirmed || errors.Is(m.Err, trust.ErrSignerEnded) || errors.Is(m.Err, trust.ErrSponsorEnded))
}
