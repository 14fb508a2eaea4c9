// Package trust decides for one node which peers are members of its fleet and what each may do: by
// grants and revocations, signed by the fleet's root and its issuers.
//
//	judge := trust.NewOpen(controllerID)
//	if err := judge.May(peerID, "miner.control"); err != nil {
//		return err // says why not, in words that may be shown to the peer
//	}
//
// A node without a fleet is [Open]: it knows the peers that its owner allowed, and all others are
// strangers. A node in a fleet has a [Fleet]. Both are a [Judge], and every right goes through one.
//
// The packages below keep apart what stands by itself: trust/ticket has one-time tickets, and
// trust/rootkey the root key at rest. DESIGN.md gives the rules and the reasons.
package trust

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Judge decides for one node. It is used concurrently.
type Judge interface {
	// Member reports whether p is a member: it gets the limits of a member and hears what the node
	// is called.
	Member(p peer.ID) bool
	// May returns nil when p may do the verb here, and a [*Denied] otherwise.
	May(p peer.ID, verb string) error
}

// Denied says that a peer may not do something, and why.
type Denied struct {
	Peer   peer.ID
	Verb   string
	Reason string // for the peer's user
	// Err is one of the package's reasons; nil in open mode.
	Err error
}

// Error returns the reason.
func (d *Denied) Error() string { return d.Reason }

// Unwrap returns the reason for errors.Is.
func (d *Denied) Unwrap() error { return d.Err }

// Unauthenticated reports whether the peer has shown no credential that counts: it is a stranger,
// or its grant is not good. Otherwise the peer is known, and may not do this.
func (d *Denied) Unauthenticated() bool {
	for _, reason := range []error{
		ErrStranger, ErrInvalid, ErrOtherFleet, ErrOtherPeer, ErrExpired, ErrIssuer, ErrDepth,
		ErrSignerEnded, ErrSponsorEnded, ErrNotAsked,
	} {
		if errors.Is(d.Err, reason) && !errors.Is(d.Err, ErrOwnGrant) && !errors.Is(d.Err, ErrDamaged) {
			return true
		}
	}
	return false
}

// Open is the judge of a node without a fleet: all verbs for the peers on its list, none for
// others. It is used concurrently.
type Open struct {
	mu      sync.RWMutex
	allowed []peer.ID
}

var _ Judge = (*Open)(nil)

// NewOpen returns the judge of a node that lets these peers do everything, and others nothing.
func NewOpen(allow ...peer.ID) *Open { return &Open{allowed: slices.Clone(allow)} }

// Allow adds a peer to the list.
func (o *Open) Allow(p peer.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.allowed = append(o.allowed, p)
}

// Replace makes peers the list. What others had begun before is for the caller to end.
func (o *Open) Replace(peers ...peer.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.allowed = slices.Clone(peers)
}

// Member reports whether p is on the list.
func (o *Open) Member(p peer.ID) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Contains(o.allowed, p)
}

// May returns nil for a peer on the list.
func (o *Open) May(p peer.ID, verb string) error {
	if o.Member(p) {
		return nil
	}
	return &Denied{Peer: p, Verb: verb, Reason: fmt.Sprintf(
		"not permitted: this node does not take %s from %s", verb, p)}
}
