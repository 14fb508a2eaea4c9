package main

import (
	"errors"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// advice returns the text of an error and its hint.
func advice(err error) string { return err.Error() + Hint(err) }

// Hint returns what a person does next about an error, to be put behind its text; "" if there is
// nothing to add. The packages that other programs may import name no command and no flag of this
// one: they say what is the case, and their errors find the next step here. Nodes of this program
// ask it too, for the reasons that they give to their peers.
func Hint(err error) string {
	if d, ok := errors.AsType[*trust.Denied](err); ok {
		return deniedHint(d)
	}
	if b, ok := errors.AsType[*trust.Blocked](err); ok {
		return blockedHint(b)
	}
	return firstHint(err, []hint{
		{ticket.ErrUnknown, "; ask for a new one: swarm invite"},
		{ticket.ErrUsed, "; ask for a new one: swarm invite"},
		{ticket.ErrExpired, "; ask for a new one: swarm invite"},
		{host.ErrDenied, ": --deny-net, --allow-net"},
		{host.ErrDeniedNet, " (--deny-net)"},
		{host.ErrOtherNet, " (--allow-net)"},
		{host.ErrNetworkKey, ", see --network-key"},
		{durable.ErrNoLocks, ", with --state DIR"},
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
	case trust.NeedSingle:
		return "; on one of them: swarm leave, delete identity.pem, join again with a new ticket"
	case trust.NeedRejoin:
		return "; to go on: swarm leave, and join again with a new ticket"
	}
	return ""
}
