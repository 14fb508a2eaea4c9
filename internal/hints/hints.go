// Package hints says what a person does next about an error of this program, in terms of its commands
// and flags. The packages that other programs may import name none of these: they say what is the
// case, and their errors find the next step here. Nodes of this program ask it too, for the reasons
// that they give to their peers.
package hints

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/running"
	"github.com/seed-b490fa12/swarm/internal/service"
)

// For returns what a person does next about an error, to be put behind its text; "" if there is
// nothing to add.
func For(err error) string {
	if d, ok := errors.AsType[*trust.Denied](err); ok {
		return deniedHint(d)
	}
	if b, ok := errors.AsType[*trust.Blocked](err); ok {
		return blockedHint(b)
	}
	if u, ok := errors.AsType[*control.Unresponsive](err); ok {
		return unresponsiveHint(u)
	}
	if a, ok := errors.AsType[*running.Already](err); ok {
		return alreadyHint(a)
	}
	return firstHint(err, []hint{
		{ticket.ErrUnknown, "; ask for a new one: swarm invite"},
		{ticket.ErrUsed, "; ask for a new one: swarm invite"},
		{ticket.ErrExpired, "; ask for a new one: swarm invite"},
		{host.ErrDenied, ": --deny-net, --allow-net"},
		{host.ErrDeniedNet, " (--deny-net)"},
		{host.ErrOtherNet, " (--allow-net)"},
		{host.ErrProxy, ", see --proxy"},
		{host.ErrAddrInUse, "; give another one, or stop that: --listen /ip4/0.0.0.0/tcp/4748"},
		{rootkey.ErrPassphrase, "; it is the one that \"swarm init\" asked for; try again"},
		{syscall.ENOSPC, "; make room on that disk, or choose another place: --state DIR"},
		{fs.ErrPermission, "; run it as the user whose that is (sudo -u USER), or choose another place: --state DIR"},
		{host.ErrNetworkKey, ", see --network-key"},
		{durable.ErrNoLocks, ", with --state DIR"},
		{service.ErrNone, "; install one: sudo swarm service install"},
		{service.ErrNoSystemd, ": have what runs it start: swarm worker"},
		{service.ErrHasNode, ": give it to the service with --from DIR, or make a new one with --new"},
		{control.ErrNobody, "; start one: swarm controller serve"},
		{control.ErrServeEnded, "; start it again: swarm controller serve"},
		{control.ErrOlder, "; end it and start it again: swarm controller serve"},
	})
}

// hint is a row of a table: what to do about an error.
type hint struct {
	err  error
	next string
}

// firstHint returns the hint of the first row whose error err is.
func firstHint(err error, rows []hint) string {
	for _, row := range rows {
		if errors.Is(err, row.err) {
			return row.next
		}
	}
	return ""
}

// unresponsiveHint is for a controller that serves and does not answer.
func unresponsiveHint(u *control.Unresponsive) string {
	if u.PID == 0 {
		return "; let its process go on, or end it and start it again: swarm controller serve"
	}
	return fmt.Sprintf("; let it go on (kill -CONT %d), or end it (kill -KILL %d) and start it again: swarm controller serve",
		u.PID, u.PID)
}

// alreadyHint is for a node that runs already.
func alreadyHint(a *running.Already) string {
	if a.PID == 0 {
		return "; stop it first, or give this one a directory of its own: --state DIR"
	}
	return fmt.Sprintf("; stop it first (kill %d, or for a service: swarm service), or give this one a directory of its own: --state DIR", a.PID)
}

// deniedHint is for what a peer may not do here, or this machine not there.
func deniedHint(d *trust.Denied) string {
	if d.Err == nil {
		return "; its owner allows it with: swarm worker --allow " + d.Peer.String()
	}
	return firstHint(d.Err, []hint{
		{trust.ErrDamaged, "; where nobody has them any more, the owner says so: swarm key waive"},
		{trust.ErrOwnGrant, "; renew it from a controller that may issue grants: swarm renew"},
		{trust.ErrStranger, "; join the fleet with a ticket: swarm join"},
		{trust.ErrSignerEnded, "; the owner's controller signs anew: swarm renew"},
		{trust.ErrExpired, "; one who may issue grants renews it with: swarm renew"},
		{trust.ErrVerb, "; one who may issue grants gives it with: swarm grant"},
		{trust.ErrSelector, "; one who may issue grants gives it with: swarm grant"},
	})
}

// blockedHint is for what has to wait for something else.
func blockedHint(b *trust.Blocked) string {
	switch b.Need {
	case trust.NeedRootKey:
		return " (--as-root)"
	case trust.NeedLift:
		return "; the owner lifts that first, with the root key: swarm revoke --lift " + b.Peer.String()
	case trust.NeedReinstate:
		return ": swarm grant " + b.Peer.String() + " --issue ROLES --reinstate"
	case trust.NeedEnd:
		return ": swarm revoke " + b.Name + " --as-root"
	case trust.NeedRevoke:
		return ": swarm revoke"
	case trust.NeedIssuer:
		return "; give it one: swarm grant " + b.Name + " --issue worker"
	case trust.NeedPeerID:
		return " (--peer)"
	case trust.NeedGrant:
		return "; try again where a member that knows it can be reached, or go on all the same: --alone"
	case trust.NeedSingle:
		return "; on one of them: swarm leave, delete identity.pem, join again with a new ticket"
	case trust.NeedRejoin:
		return "; to go on: swarm leave, and join again with a new ticket"
	}
	return ""
}
