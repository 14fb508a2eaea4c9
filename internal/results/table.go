package results

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Table prints what all machines have answered, sorted by name. A machine that has not is a row too.
type Table func(*Printer, []agent.Result) error

// keep keeps a result for the table.
func (r *Printer) keep(res agent.Result) {
	if !errors.Is(res.Err, context.Canceled) { // by the user, who knows
		r.kept = append(r.kept, res)
	}
}

// Flush prints the table of what was kept; it does nothing where answers are printed as they arrive.
func (r *Printer) Flush() error {
	if len(r.kept) == 0 {
		return nil
	}
	slices.SortFunc(r.kept, func(a, b agent.Result) int {
		return cmp.Or(natural(a.Target.Label(), b.Target.Label()), cmp.Compare(a.Target.Peer, b.Target.Peer))
	})
	kept := r.kept
	r.kept = nil
	if len(kept) == 1 && kept[0].Err != nil {
		r.Fault(kept[0].Target.Label(), kept[0].Err)
		return nil
	}
	return r.Table(r, kept)
}

// rows adds a row for each result, by row; one for what a machine has not answered, too.
func rows[T any](r *Printer, s *output.Sheet, kept []agent.Result, row func(agent.Target, T)) {
	for _, res := range kept {
		var v T
		switch {
		case res.Err != nil:
			s.Note(res.Target.Label(), Words(res.Err))
		case json.Unmarshal(res.Payload, &v) != nil:
			s.Note(res.Target.Label(), unreadable)
		default:
			row(res.Target, v)
		}
	}
	if r.Verbose {
		r.allFaults(kept)
	}
}

// allFaults prints of each machine that has not answered all that was tried.
func (r *Printer) allFaults(kept []agent.Result) {
	for _, res := range kept {
		if res.Err != nil {
			r.Fault(res.Target.Label(), res.Err)
		}
	}
}

// natural compares names as people count: rig-2 comes before rig-10.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na == "" || nb == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		a, b = a[len(na):], b[len(nb):]
		x, y := strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(len(na), len(nb))); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// digits are those at the beginning of a text.
func digits(s string) string {
	if i := strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsDigit(r) }); i >= 0 {
		return s[:i]
	}
	return s
}
