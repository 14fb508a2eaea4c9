package main

import (
	"fmt"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
)

func opGetStats() operation {
	return operation{
		Spec:    ops.GetStats.Spec(),
		short:   "Show the load of machines, and the hash rate of their workloads",
		example: "  swarm controller exec get_stats --all",
		fill:    fill[ops.StatsRequest](nil),
		show:    show(showStats),
	}
}

const statsFormat = "%-24.24s %8s %5s %5s %6s  %-12.12s %-10s %12s %9s %.60s\n"

func showStats(r *results, t agent.Target, s ops.Stats) {
	r.head(statsFormat, "MACHINE", "UP", "CPU", "MEM", "LOAD", "WORKLOAD", "STATE", "HASH RATE", "SHARES", "POOL")
	h := s.Host
	row := []any{t.Label(), output.Seconds(s.UptimeSeconds), output.Percent(h.CPUPercent), output.Share(h.MemUsed, h.MemTotal), load(h.Load1)}
	if len(s.Workloads) == 0 {
		r.Stdout.Printf(statsFormat, append(row, output.Unknown, "", "", "", "")...)
	}
	for _, w := range s.Workloads {
		r.Stdout.Printf(statsFormat, append(row, w.Name, w.State, output.HashRate(w.HashRate),
			output.Number(w.SharesAccepted)+"/"+output.Number(w.SharesRejected), w.Pool)...)
		row = []any{"", "", "", "", ""}
	}
}

func load(v *float64) string {
	if v == nil {
		return output.Unknown
	}
	return fmt.Sprintf("%.2f", *v)
}
