package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Member is what is known of a peer whose grant was verified.
type Member struct {
	Peer  peer.ID
	Chain Chain
	Credential
	// Err is why the peer does not count as a member now; nil when it does.
	Err error
}

// Admit takes the chain that a peer presents, judges the peer by all that is known of it, and
// returns the grant that counts.
func (f *Fleet) Admit(p peer.ID, c Chain) (*Grant, error) { return f.admit(p, c, true) }

// Hear is Admit for a chain that another member passed on: the peer has not shown itself.
func (f *Fleet) Hear(p peer.ID, c Chain) (*Grant, error) { return f.admit(p, c, false) }

func (f *Fleet) admit(p peer.ID, c Chain, shows bool) (*Grant, error) {
	if _, err := f.memory.id.Verify(c, p); err != nil {
		// What others have signed in the meantime may count for it all the same.
		if known, bad := f.memory.credential(p); bad == nil {
			return known.Grant.clone(), nil
		}
		f.refused.Add(p, err)
		return nil, err
	}
	if shows {
		f.memory.showed(p)
	}
	_, full := f.memory.learn(c...)
	cred, err := f.memory.credential(p)
	if errors.Is(err, ErrStranger) && full != nil {
		err = full // there was no room for it
	}
	if err != nil {
		f.refused.Add(p, err)
		return nil, err
	}
	f.refused.Remove(p)
	return cred.Grant.clone(), nil
}

// Gone notes that a peer has no connection any more.
func (f *Fleet) Gone(p peer.ID) { f.refused.Remove(p) }

// Forget drops the grants of a member that is of no interest any more.
func (f *Fleet) Forget(p peer.ID) {
	f.memory.mu.Lock()
	f.memory.set.forgetPeer(p)
	f.memory.mu.Unlock()
	f.Gone(p)
}

// Known returns what is known of a peer, and whether anything is.
func (f *Fleet) Known(p peer.ID) (Member, bool) {
	c, err := f.memory.credential(p)
	if c == nil {
		return Member{}, false
	}
	return Member{p, c.chain(), c.clone(), err}, true
}

// Grants returns all grants of a peer that are known, those of an issuer first.
func (f *Fleet) Grants(p peer.ID) (out []Grant) {
	f.memory.mu.RLock()
	defer f.memory.mu.RUnlock()
	for _, st := range f.memory.set.papers(p) {
		out = append(out, *st.Grant.clone())
	}
	return out
}

// Members returns all members that are known, also those whose grants have ended, in the order of
// their names.
func (f *Fleet) Members() []Member {
	s, done := f.memory.read()
	var out []Member
	for _, p := range s.subjects() {
		if c, err := s.member(p); c != nil {
			out = append(out, Member{p, c.chain(), c.clone(), err})
		}
	}
	done()
	slices.SortStableFunc(out, func(a, b Member) int { return strings.Compare(a.Grant.Name, b.Grant.Name) })
	return out
}

// Member reports whether p counts as a member now, or is allowed by the owner.
func (f *Fleet) Member(p peer.ID) bool {
	s, done := f.memory.read()
	defer done()
	if _, allowed := f.allowed[p]; allowed && s.outcast(p) == nil {
		return true
	}
	_, err := s.member(p)
	return err == nil
}

// May returns nil when p may do the verb on this node, and a [*Denied] otherwise. It is the one
// place where that is decided.
func (f *Fleet) May(p peer.ID, verb string) error {
	err := f.may(p, verb)
	if err == nil {
		return nil
	}
	return &Denied{Peer: p, Verb: verb, Reason: "not permitted: " + err.Error(), Err: err}
}

func (f *Fleet) may(p peer.ID, verb string) error {
	s, done := f.memory.read()
	defer done()
	if settled, err := f.settled(s, p); settled {
		return err
	}
	c, err := s.member(p)
	if errors.Is(err, ErrStranger) {
		if refused, known := f.refused.Peek(p); known {
			return refused
		}
		return fmt.Errorf("%w: the peer has shown no grant of the fleet %s", ErrStranger, f.memory.name)
	}
	if err != nil {
		return err
	}
	own, err := s.member(f.memory.cfg.Self)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	return c.Grant.Allows(verb, own.Grant.Labels, s.now)
}

// settled reports whether it is settled what goes between a peer and this node, whatever the peer
// was granted: nothing, with the reason, or everything, where the owner allows it. The caller holds
// what read gave.
func (f *Fleet) settled(s verdict, p peer.ID) (bool, error) {
	if err := f.memory.damage(); err != nil {
		return true, err
	}
	if r := s.outcast(p); r != nil {
		return true, s.revokedWords(r, &Grant{Name: s.label(p)})
	}
	_, allowed := f.allowed[p]
	return allowed, nil
}

// Revoked reports whether a peer was revoked: itself, or all that it holds. A peer whose issuer has
// ended was not revoked: it waits to be signed anew.
func (f *Fleet) Revoked(p peer.ID) bool {
	s, done := f.memory.read()
	defer done()
	if s.outcast(p) != nil {
		return true
	}
	_, err := s.member(p)
	return IsRevoked(err)
}

// Revocation returns the revocation that ended a peer's rights, or nil.
func (f *Fleet) Revocation(p peer.ID) *Statement {
	s, done := f.memory.read()
	defer done()
	if _, ended := s.issuer(p); ended == nil {
		return nil
	}
	if r := s.peerRevoked(p); r != nil {
		return r
	}
	if st, _ := s.pick(p); st != nil {
		return s.revoked(st.Grant)
	}
	return nil
}

// MaySend returns why nothing may be sent to a peer, by this node's own view, whatever the peer
// says. What other processes of this machine have heard by now counts. Before there is a connection
// only a revocation counts: the peer may have a grant that is not known yet.
func (f *Fleet) MaySend(p peer.ID, connected bool) error {
	if err := f.memory.refresh(); err != nil {
		return err
	}
	s, done := f.memory.read()
	defer done()
	if settled, err := f.settled(s, p); settled {
		return err
	}
	_, err := s.member(p)
	if !connected && !IsRevoked(err) {
		return nil
	}
	if _, own := s.member(f.memory.cfg.Self); own != nil && err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, own) // which is why no peer says what it is
	}
	if errors.Is(err, ErrStranger) {
		return fmt.Errorf("%w: the peer has shown no grant of the fleet %s (what belongs to no fleet is commanded from another state directory)", ErrStranger, f.memory.name)
	}
	return err
}

// IsRevoked reports whether an error says that a member was itself revoked. A member whose issuer
// or sponsor has ended was not: it may be signed anew.
func IsRevoked(err error) bool {
	return (errors.Is(err, ErrRevokedPeer) || errors.Is(err, ErrRevokedLine)) &&
		!errors.Is(err, ErrSignerEnded) && !errors.Is(err, ErrSponsorEnded)
}
