package main

import (
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
)

func opListWorkloads() operation {
	return operation{
		Spec:    ops.ListWorkloads.Spec(),
		short:   "List workloads, the miners among them, also those that have ended",
		example: "  swarm controller exec list_workloads --all",
		fill:    fill[ops.WorkloadsRequest](nil),
		table:   results.Workloads,
	}
}
