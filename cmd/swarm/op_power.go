package main

import (
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/powercli"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/power"
)

func opPower() operation {
	c := new(powercli.Request)
	return operation{
		Spec:  power.Power.Spec(),
		short: "Reboot machines or shut them down; swarm power asks first, and looks what comes of it",
		example: `  swarm controller exec power rig-01 --action reboot --yes
  swarm controller exec power --on site=cabin --action shutdown --yes`,
		flags: c.Flags,
		fill:  fill(c.Fill),
		show: show(func(r *results.Printer, t agent.Target, a power.Ack) {
			r.Stdout.Printf("%s %s\n", t.Label(), powercli.Begun(a.Action))
		}),
	}
}
