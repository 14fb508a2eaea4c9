package main

import (
	"time"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/results"
)

func opPing() operation {
	return operation{
		Spec:    greet.Ping.Spec(),
		short:   "Ask whether a machine answers; to measure it, see: swarm ping",
		example: "  swarm controller exec ping --all",
		fill: fill(func(r *greet.PingRequest) error {
			r.SentAt = time.Now().UnixMilli()
			return nil
		}),
		show: show(func(r *results.Printer, t agent.Target, p greet.Pong) {
			r.Stdout.Printf("%-24.60s answers\n", t.Label())
		}),
	}
}
