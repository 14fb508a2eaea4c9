package results

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/hardware"
)

// Stats is the table of machines with their workloads. Without wide the columns are those for which
// the terminal has room.
func Stats(wide *bool) Table {
	return func(r *Printer, kept []agent.Result) error {
		s := r.Stdout.Sheet(*wide,
			output.Column{Title: "MACHINE"}, output.Column{Title: "UP", Rank: 2, Right: true},
			output.Column{Title: "CPU", Rank: 3, Right: true}, output.Column{Title: "MEM", Rank: 4, Right: true},
			output.Column{Title: "LOAD", Rank: 5, Right: true}, output.Column{Title: "TEMP", Rank: 4, Right: true},
			output.Column{Title: "WORKLOAD"}, output.Column{Title: "STATE", Least: 24},
			output.Column{Title: "HASH RATE", Right: true}, output.Column{Title: "SHARES", Rank: 1, Right: true},
			output.Column{Title: "POOL", Rank: 3})
		sum := totals{hashes: make(map[string]float64)}
		rows(r, s, kept, func(t agent.Target, v ops.Stats) {
			sum.add(v)
			statsRows(s, t, v)
		})
		if err := s.Flush(); err != nil || len(kept) < 2 {
			return err
		}
		sum.machines, sum.silent = len(kept), len(kept)-sum.answered
		_, err := r.Stdout.Printf("%s\n", output.Whole(sum.text()))
		return err
	}
}

// statsRows adds a row for each workload of a machine, and one for a machine without any.
func statsRows(s *output.Sheet, t agent.Target, v ops.Stats) {
	h := v.Host
	first := []any{
		t.Label(), output.Seconds(v.UptimeSeconds), output.Percent(h.CPUPercent), output.Share(h.MemUsed, h.MemTotal),
		output.Optional("%.2f", h.Load1), output.Optional("%.0f °C", h.TempCelsius),
	}
	if len(v.Workloads) == 0 {
		s.Row(append(first, output.Unknown)...)
	}
	for _, w := range v.Workloads {
		s.Row(append(first, w.Name, State(w), output.HashRate(w.HashRate),
			output.Number(w.SharesAccepted)+"/"+output.Number(w.SharesRejected), Pool(w.Pool))...)
		first = []any{"", "", "", "", "", ""}
	}
	for _, d := range h.Devices {
		if d.Kind == hardware.GPU {
			s.Row("", "", "", "", "", output.Optional("%.0f °C", d.TempCelsius), device(d), load(d))
		}
	}
}

// device names a graphics card by the end of its address, which tells it from the others, and its name.
func device(d hardware.Device) string {
	_, id, ok := strings.Cut(d.ID, ":")
	if !ok {
		id = d.ID
	}
	return strings.TrimSpace("gpu " + id + " " + d.Name)
}

// load is what a device does, as far as it tells.
func load(d hardware.Device) string {
	var parts []string
	for _, p := range []struct {
		format string
		v      *float64
	}{{"%.0f %% busy", d.UsePercent}, {"%.0f W", d.PowerWatts}, {"fan %.0f %%", d.FanPercent}} {
		if p.v != nil {
			parts = append(parts, fmt.Sprintf(p.format, *p.v))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), d.Reason, output.Unknown)
}

// State is the state of a workload, with the reason where it is no good one.
func State(w ops.Workload) string {
	if w.Reason == "" {
		return string(w.State)
	}
	reason := []rune(w.Reason)
	if len(reason) > maxReason {
		reason = append(reason[:maxReason-1], '…')
	}
	return fmt.Sprintf("%s: %s", w.State, string(reason))
}

// PoolAndReason is a workload's pool, and why its state is no good one, for the last column of a table
// whose lines stand one below the other as they come.
func PoolAndReason(w ops.Workload) string {
	if w.Reason == "" {
		return Pool(w.Pool)
	}
	return Pool(w.Pool) + ": " + w.Reason
}

// maxReason bounds a reason in a table, in characters; --json has all of it.
const maxReason = 40

// Pool is a pool's address without its scheme, as far as that goes without saying.
func Pool(url string) string { return strings.TrimPrefix(url, "stratum+tcp://") }

// totals are what all machines do together.
type totals struct {
	machines, answered, silent int
	workloads                  int                // that run
	hashes                     map[string]float64 // by algorithm
}

func (t *totals) add(v ops.Stats) {
	t.answered++
	for _, w := range v.Workloads {
		if w.UptimeSeconds != nil {
			t.workloads++
		}
		if w.HashRate != nil {
			t.hashes[w.Algorithm] += *w.HashRate
		}
	}
}

// text is the line below the table.
func (t *totals) text() string {
	text := output.Count(t.machines, "machine", "machines")
	if t.silent > 0 {
		text += fmt.Sprintf(", %d of them gave no answer", t.silent)
	}
	text += "; " + output.Count(t.workloads, "workload", "workloads")
	var rates []string
	for _, a := range slices.Sorted(maps.Keys(t.hashes)) {
		rate := t.hashes[a]
		rates = append(rates, fmt.Sprintf("%s %s", output.OrDash(a), output.HashRate(&rate)))
	}
	if len(rates) > 0 {
		text += ": " + strings.Join(rates, ", ")
	}
	return text
}
