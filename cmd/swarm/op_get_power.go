package main

import (
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/powercli"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/power"
)

func opGetPower() operation {
	return operation{
		Spec:    power.GetPower.Spec(),
		short:   "Ask whether machines are about to reboot or shut down, or why they did not",
		example: "  swarm controller exec get_power rig-01",
		fill:    fill[power.StateRequest](nil),
		show: show(func(r *results.Printer, t agent.Target, s power.State) {
			r.Stdout.Printf("%s %s\n", t.Label(), powercli.Stands(s))
		}),
	}
}
