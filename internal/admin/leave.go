package admin

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Losses says, a line each, what is lost when this node leaves its fleet, and what stays.
func (a *Admin) Losses() (out []string) {
	g := a.Fleet.Self().Grant
	others := a.standing()
	out = append(out, fmt.Sprintf("forgotten: its grant as the %s %s, and %s", g.Role, g.Name, output.Count(len(others), "other member", "other members")))
	if open := a.openTickets(); open > 0 {
		out = append(out, fmt.Sprintf("void: %s that nobody has used", output.Count(open, "ticket", "tickets")))
	}
	switch {
	case g.MayIssue != nil:
		out = append(out, a.signerLosses(others)...)
	case g.Role == trust.RoleWorker || g.Role == trust.RoleRelay:
		out = append(out, fmt.Sprintf("over: nobody of the fleet can command this machine; it comes back only with a new ticket: swarm invite %s", g.Name))
	}
	return out
}

// signerLosses is what a fleet loses with a controller that signs for it.
func (a *Admin) signerLosses(others []trust.Member) (out []string) {
	signers := slices.ContainsFunc(others, func(m trust.Member) bool { return m.Grant.MayIssue != nil && m.Grant.MayIssue.ForAll })
	if !signers && a.Fleet.Self().Grant.MayIssue.ForAll {
		out = append(out, "THE ONLY CONTROLLER that signs for this fleet: nobody can let machines in, renew or revoke any more, "+
			"until the fleet is restored from its root key (swarm key restore)")
	}
	path := fleetdir.RootKeyPath(a.stateDir)
	if _, err := os.Stat(path); err == nil {
		return append(out, "stays: the root key, in "+path)
	}
	return append(out, "not here: the root key; see that you have it, or its backup, before you go on")
}

// standing are the other members that count.
func (a *Admin) standing() (out []trust.Member) {
	for _, m := range a.Fleet.Members() {
		if m.Err == nil && m.Peer != a.self() {
			out = append(out, m)
		}
	}
	return out
}

// openTickets counts the tickets that can be used still.
func (a *Admin) openTickets() (n int) {
	all, err := a.Tickets.List()
	if err != nil {
		return 0 // nothing of it is lost that could be read
	}
	for _, s := range all {
		if s.UsedBy == "" && time.Now().Before(s.Expires) {
			n++
		}
	}
	return n
}
