package trust

import (
	"fmt"
	"maps"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// maxRefused is of how many peers it is remembered why they were refused.
const maxRefused = 1_024

// Fleet is one node's view of its fleet. It judges peers by the statements that the node knows, so
// it is the [Judge] of a node in a fleet; [Fleet.Exchange] compares these statements with those of
// other nodes, and [Fleet.Issuance] signs new ones. Several processes may use one directory. It is
// used concurrently.
type Fleet struct {
	memory   *memory
	exchange *Exchange
	allowed  map[peer.ID]struct{}
	refused  *lru.Cache[peer.ID, error] // why the last credential of a peer did not count
}

var _ Judge = (*Fleet)(nil)

func newFleet(m *memory) (*Fleet, error) {
	refused, err := lru.New[peer.ID, error](maxRefused)
	if err != nil {
		return nil, err
	}
	f := &Fleet{memory: m, exchange: &Exchange{memory: m}, allowed: map[peer.ID]struct{}{}, refused: refused}
	for _, p := range m.cfg.Allow {
		f.allowed[p] = struct{}{}
	}
	return f, nil
}

// Exchange returns what compares this node's statements with those of other nodes.
func (f *Fleet) Exchange() *Exchange { return f.exchange }

// Issuance returns what signs statements about members.
func (f *Fleet) Issuance() Issuance { return Issuance{f.memory} }

// ID returns the ID of the fleet.
func (f *Fleet) ID() FleetID { return f.memory.id }

// Name returns the fleet's name.
func (f *Fleet) Name() string { return f.memory.name }

// Root returns the peer ID of the fleet's root key.
func (f *Fleet) Root() peer.ID { return f.memory.root }

// Now returns the time that grants are judged and signed by: the machine's clock, unless that is
// known to be behind.
func (f *Fleet) Now() time.Time { return f.memory.now() }

// ClockSane reports whether the machine's clock can be right at all.
func (f *Fleet) ClockSane() bool {
	_, sane := f.memory.floor.Now()
	return sane
}

// Learn takes statements that are not known yet, from whomever: they prove themselves. It reports
// whether anything changed that others should hear of. Bad ones do not keep out the others.
//
// What cannot be written counts all the same, until this process ends; the error then matches
// [ErrNotSaved], and each further Learn or Reload tries again.
func (f *Fleet) Learn(statements ...[]byte) (bool, error) { return f.memory.learn(statements...) }

// Reload reads what other processes of this node have learned since. The error matches [ErrNoFleet]
// when another process has left the fleet.
func (f *Fleet) Reload() error { return f.memory.update() }

// Whole returns why nothing is decided here, or nil: see [ErrDamaged].
func (f *Fleet) Whole() error { return f.memory.whole() }

// Missing returns the statements that this node once had and has lost.
func (f *Fleet) Missing() []ID { return f.memory.lost() }

// Left reports whether the membership is gone from the disk: another process of this machine has
// left the fleet.
func (f *Fleet) Left() bool { return f.memory.left() }

// Notify has fn called after each change of what is revoked, of which issuers sign, or of this
// node's own grant. fn must return quickly.
func (f *Fleet) Notify(fn func()) (stop func()) { return f.memory.notify(fn) }

// Self returns this node's own credential: the one that counts, or the nearest to it.
func (f *Fleet) Self() Credential {
	c, _ := f.self()
	return c.clone()
}

// SelfErr returns why this node's own grant does not count, or nil. The error matches
// [ErrOwnGrant].
func (f *Fleet) SelfErr() error {
	if _, err := f.self(); err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	return nil
}

func (f *Fleet) self() (*Credential, error) {
	c, err := f.memory.credential(f.memory.cfg.Self)
	if c == nil {
		return &Credential{Grant: &Grant{Fleet: f.memory.id, Subject: f.memory.cfg.Self, Name: "this-machine"}}, err
	}
	return c, err
}

// Chain returns what this node shows to others.
func (f *Fleet) Chain() Chain {
	c, _ := f.self()
	if c.st == nil {
		f.memory.mu.RLock()
		defer f.memory.mu.RUnlock()
		return slices.Clone(f.memory.shown)
	}
	return c.chain()
}

// Signer returns what signs as this member, which needs the right to issue.
func (f *Fleet) Signer(key crypto.PrivKey) (*Signer, error) {
	if err := f.memory.whole(); err != nil {
		return nil, err
	}
	c, err := f.self()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	if c.Grant.MayIssue == nil {
		return nil, fmt.Errorf("%w: %s may not issue anything", ErrIssuer, c.Grant.Name)
	}
	return NewIssuer(f.memory.id, key, c.chain())
}

// MinProtocol returns the lowest protocol version that the root allows; empty for any.
func (f *Fleet) MinProtocol() string {
	f.memory.mu.RLock()
	defer f.memory.mu.RUnlock()
	return f.memory.set.minProtocol()
}

// Issuers returns all that the root ever let sign for others: those for all with those that it has
// ended, and the delegates, which are not for all and go on to sign.
func (f *Fleet) Issuers() (all, delegates []peer.ID) {
	s, done := f.memory.read()
	defer done()
	for _, p := range slices.Sorted(maps.Keys(s.issuers)) {
		if i, err := s.issuer(p); err == nil && !i.Grant.MayIssue.ForAll {
			delegates = append(delegates, p)
		} else {
			all = append(all, p)
		}
	}
	return all, delegates
}

// Revocations returns all revocations that are known, in no order.
func (f *Fleet) Revocations() []*Statement {
	return f.statements(func(s *Statement) bool { return s.Revocation != nil })
}

// Lifts returns all lifts that are known, in no order.
func (f *Fleet) Lifts() []*Statement {
	return f.statements(func(s *Statement) bool { return s.Lift != nil })
}

func (f *Fleet) statements(which func(*Statement) bool) (out []*Statement) {
	f.memory.mu.RLock()
	defer f.memory.mu.RUnlock()
	for st := range maps.Values(f.memory.set.all) {
		if which(st) {
			out = append(out, st)
		}
	}
	return out
}
