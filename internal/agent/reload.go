package agent

import (
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/policy"
)

// errAllowInFleet says that a fleet alone decides who may command its machines.
var errAllowInFleet = errors.New("this node belongs to a fleet, which decides who may command it: --allow is for others")

// SetAllowed makes peers those that may command the worker. The connections to those that may no longer
// are closed, and with them what they had begun to read.
func (w *Worker) SetAllowed(peers ...peer.ID) error {
	if err := setAllowed(w.Node, w.judge, w.fleet, peers); err != nil {
		return err
	}
	w.protectAllowed(peers)
	return nil
}

// protectAllowed keeps the connections of those who may command the worker, however many others there
// are.
func (w *Worker) protectAllowed(peers []peer.ID) {
	for _, p := range peers {
		w.Node.ConnManager().Protect(p, host.ProtectTag)
	}
}

// SetAllowed makes peers those that the relay serves.
func (r *Relay) SetAllowed(peers ...peer.ID) error {
	return setAllowed(r.Node, r.judge, r.fleet, peers)
}

func setAllowed(n *node.Node, judge *trust.Open, fleet *trust.Fleet, peers []peer.ID) error {
	if fleet != nil {
		return errAllowInFleet
	}
	var errs []error
	before := n.Network().Peers()
	before = slices.DeleteFunc(before, func(p peer.ID) bool { return !judge.Member(p) })
	judge.Replace(peers...)
	for _, p := range before {
		if !judge.Member(p) {
			n.ConnManager().Unprotect(p, host.ProtectTag)
			errs = append(errs, n.Network().ClosePeer(p))
		}
	}
	return errors.Join(errs...)
}

// SetEnabled makes words what may run beside what the policy file allows, and reads that again.
func (w *Worker) SetEnabled(words ...string) error {
	var p policy.Policy
	if err := p.Enable(words...); err != nil {
		return err
	}
	if err := checkMiners(p); err != nil {
		return err
	}
	return w.policy.SetWords(words...)
}

// SetStatsEvery makes every how often stats are pushed while somebody listens.
func (w *Worker) SetStatsEvery(every time.Duration) {
	select {
	case <-w.every: // nobody has taken over the one before
	default:
	}
	w.every <- every
}
