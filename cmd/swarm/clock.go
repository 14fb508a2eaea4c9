package main

import (
	"time"

	"github.com/seed-b490fa12/swarm/internal/clock"
)

// warnClock says so when this machine's clock cannot be right. What is done goes on: that others
// can be asked for the time may be what it is for.
func warnClock(e *env) {
	if fault := clock.Fault(time.Now()); fault != "" {
		e.Stderr.Println("WARNING:", fault)
	}
}
