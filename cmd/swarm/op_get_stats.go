package main

import (
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
)

func opGetStats() operation {
	var wide bool
	return operation{
		Spec:       ops.GetStats.Spec(),
		word:       "stats",
		otherWords: []string{"top", "stat", "machines"},
		short:      "Show the load of machines, and the hash rate of their workloads",
		example:    "  swarm stats --all",
		flags:      func(f *pflag.FlagSet) { f.BoolVar(&wide, "wide", false, "all columns, however narrow the terminal is") },
		fill:       fill[ops.StatsRequest](nil),
		table:      results.Stats(&wide),
	}
}
