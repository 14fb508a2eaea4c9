package main

import (
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

func opPing() operation {
	return operation{
		Spec:    streams.Ping.Spec(),
		short:   "Ask whether a machine answers; to measure it, see: swarm ping",
		example: "  swarm controller exec ping --all",
		fill: fill(func(r *streams.PingRequest) error {
			r.SentAt = time.Now().UnixMilli()
			return nil
		}),
	}
}
