package results

import (
	"strconv"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
)

// Workload is the table of workloads that are no miners after a command.
func Workload(r *Printer, kept []agent.Result) error {
	s := r.Stdout.Sheet(false, output.Column{Title: "MACHINE"}, output.Column{Title: "WORKLOAD"},
		output.Column{Title: "STATE"}, output.Column{Title: "PID", Rank: 1, Right: true})
	rows(r, s, kept, func(t agent.Target, w ops.WorkloadAck) {
		s.Row(t.Label(), w.Name, w.State, pid(w.PID))
	})
	return s.Flush()
}

// Workloads is the table of machines with their workloads.
func Workloads(r *Printer, kept []agent.Result) error {
	s := r.Stdout.Sheet(false, output.Column{Title: "MACHINE"}, output.Column{Title: "WORKLOAD"}, output.Column{Title: "KIND", Rank: 1},
		output.Column{Title: "STATE", Least: 24}, output.Column{Title: "UP", Rank: 2, Right: true},
		output.Column{Title: "RESTARTS", Rank: 3, Right: true}, output.Column{Title: "PID", Rank: 2, Right: true})
	rows(r, s, kept, func(t agent.Target, v ops.Workloads) {
		if len(v.Workloads) == 0 {
			s.Row(t.Label(), output.Unknown)
		}
		first := t.Label()
		for _, w := range v.Workloads {
			up := output.Unknown
			if w.UptimeSeconds != nil {
				up = output.Seconds(*w.UptimeSeconds)
			}
			s.Row(first, w.Name, w.Kind, State(w), up, w.Restarts, pid(w.PID))
			first = ""
		}
	})
	return s.Flush()
}

func pid(n *int) string {
	if n == nil {
		return output.Unknown
	}
	return strconv.Itoa(*n)
}
