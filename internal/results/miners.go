package results

import (
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
)

// Miners is the table of workloads after a command.
func Miners(r *Printer, kept []agent.Result) error {
	s := r.Stdout.Sheet(false, output.Column{Title: "MACHINE"}, output.Column{Title: "WORKLOAD"}, output.Column{Title: "STATE"},
		output.Column{Title: "ALGORITHM", Rank: 1}, output.Column{Title: "HASH RATE", Rank: 1, Right: true})
	rows(r, s, kept, func(t agent.Target, m ops.MinerAck) {
		s.Row(t.Label(), m.Name, m.State, output.OrDash(m.Algorithm), output.HashRate(m.HashRate))
	})
	return s.Flush()
}
