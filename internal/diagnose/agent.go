package diagnose

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/clock"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/running"
	"github.com/seed-b490fa12/swarm/streams"
)

// Worker looks into how it stands with the worker or the relay of this machine, by what it keeps in
// its state directory: it dials nobody, and changes nothing. start is the command that starts it.
func Worker(stateDir, role, start string, log *slog.Logger) (Diagnosis, error) {
	id, err := fleetdir.ID(stateDir)
	if err != nil {
		return Diagnosis{}, err
	}
	fleet, err := fleetdir.Open(stateDir, nil, log)
	if err != nil {
		return Diagnosis{}, err
	}
	s := agent.Self{Peer: id, ClockFault: clock.Fault(time.Now()), Twin: agent.TwinWarning(stateDir)}
	if fleet != nil {
		s.Fleet, s.Warnings = fleet.Name(), fleetdir.Warnings(fleet)
	}
	var d Diagnosis
	d.self(s, "make it a member: swarm join; without a fleet, name who may command it: --allow")
	p, runs := running.Look(stateDir)
	if !runs {
		d.addCode(CodeStopped, role, LevelFail, "it does not run", "start it: "+start)
		d.Err = streams.Errorf(streams.CodeUnavailable, "the %s of this machine does not run", role)
		return d, nil
	}
	d.add(role, LevelOK, fmt.Sprintf("it runs (pid %d) since %s", p.PID, p.Since.Format(time.RFC3339)), "")
	if fleet != nil {
		d.lastContact(stateDir, id, log)
	}
	return d, nil
}

// lastContact says when the node last spoke with another one of its fleet.
func (d *Diagnosis) lastContact(stateDir string, self peer.ID, log *slog.Logger) {
	b, err := book.Open(book.Dir(stateDir), log)
	if err != nil {
		d.add("contact", LevelWarn, err.Error(), "")
		return
	}
	var last book.Entry
	for _, e := range b.All() {
		if e.Peer != self && e.LastSeen > last.LastSeen {
			last = e
		}
	}
	if last.LastSeen == 0 {
		d.addCode(CodeAlone, "contact", LevelWarn, "no other machine was met yet",
			"see that a controller or a relay of the fleet runs, and can be reached from here")
		return
	}
	name := cmp.Or(last.Name, last.Peer.String())
	d.add("contact", LevelOK, fmt.Sprintf("the last was with %s, %s ago", name, ago(time.Since(time.UnixMilli(last.LastSeen)))), "")
}
