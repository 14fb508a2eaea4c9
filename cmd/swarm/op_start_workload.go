package main

import (
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/workloadcli"
	"github.com/seed-b490fa12/swarm/ops"
)

func opStartWorkload() operation {
	c := new(workloadcli.Command)
	return operation{
		Spec:  ops.StartWorkload.Spec(),
		short: "Start a command that goes on, also when the controller has gone, and is there again after a restart",
		example: `  swarm controller exec start_workload rig-01 --name web -- python3 -m http.server 8080
  swarm controller exec start_workload --on site=cabin --name logger --restart always -- /opt/logger/run --verbose
  swarm controller exec start_workload rig-01 --name job --driver wasm --memory 64MiB --cpu 0.5 -- /srv/job.wasm input.txt`,
		flags:  c.Flags,
		behind: c.Take,
		fill:   fill(c.Fill),
		table:  results.Workload,
	}
}
