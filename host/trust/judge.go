package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxRefused is of how many peers it is remembered why they were refused.
const maxRefused = 1_024

// Member is what is known of a peer whose grant was verified.
type Member struct {
	Peer  peer.ID
	Chain Chain
	Credential
	// Err tells why it counts as no member now; nil when it does.
	Err error
}

// Admit takes the grant that a peer presents, and judges the peer by all that is known of it. The
// grant that counts is returned.
func (f *Fleet) Admit(p peer.ID, c Chain) (*Grant, error) {
	if _, err := f.id.Verify(c, p); err != nil {
		// What others have signed in the meantime may count for it all the same.
		if g, known := f.granted(p); known == nil {
			return g, nil
		}
		f.refuse(p, err)
		return nil, err
	}
	f.mu.Lock()
	if len(f.set.seen) >= maxSubjects {
		clear(f.set.seen)
	}
	f.set.seen[p] = struct{}{}
	f.mu.Unlock()
	_, full := f.Learn(c...)
	g, err := f.granted(p)
	if errors.Is(err, ErrStranger) && full != nil {
		err = full // there was no room for it
	}
	if err != nil {
		f.refuse(p, err)
		return nil, err
	}
	f.mu.Lock()
	delete(f.refused, p)
	f.mu.Unlock()
	return g, nil
}

// granted returns the grant of a peer that counts now.
func (f *Fleet) granted(p peer.ID) (*Grant, error) {
	c, err := f.credential(p)
	if err != nil {
		return nil, err
	}
	return c.Grant.clone(), nil
}

func (f *Fleet) credential(p peer.ID) (*Credential, error) {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.set.member(p, now)
}

// refuse remembers why a peer is no member, for the words of later refusals.
func (f *Fleet) refuse(p peer.ID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.refused[p]; !known && len(f.refused) >= maxRefused {
		for old := range f.refused {
			delete(f.refused, old)
			break
		}
	}
	f.refused[p] = err
}

// Gone says that a peer has no connection any more.
func (f *Fleet) Gone(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.refused, p)
}

// Known returns what is known of a peer, and whether anything is.
func (f *Fleet) Known(p peer.ID) (Member, bool) {
	c, err := f.credential(p)
	if c == nil {
		return Member{}, false
	}
	return Member{p, c.chain(), c.clone(), err}, true
}

// Papers returns all grants of a peer that are known, those of issuers first.
func (f *Fleet) Papers(p peer.ID) (out []Grant) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, st := range f.set.papers(p) {
		out = append(out, *st.Grant.clone())
	}
	return out
}

// Members returns all that are known, also those whose grants have ended, in the order of their
// names.
func (f *Fleet) Members() []Member {
	now := f.Now()
	f.mu.RLock()
	var out []Member
	for _, p := range f.set.subjects() {
		if c, err := f.set.member(p, now); c != nil {
			out = append(out, Member{p, c.chain(), c.clone(), err})
		}
	}
	f.mu.RUnlock()
	slices.SortStableFunc(out, func(a, b Member) int { return strings.Compare(a.Grant.Name, b.Grant.Name) })
	return out
}

// Member reports whether p counts as a member now, or is allowed by the owner.
func (f *Fleet) Member(p peer.ID) bool {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if _, allowed := f.allowed[p]; allowed && f.set.outcast(p, now) == nil {
		return true
	}
	_, err := f.set.member(p, now)
	return err == nil
}

// May returns nil when p may do the verb on this node, and a [*Denied] that tells why not
// otherwise: the one place where that is decided.
func (f *Fleet) May(p peer.ID, verb string) error {
	err := f.may(p, verb)
	if err == nil {
		return nil
	}
	return &Denied{Peer: p, Verb: verb, Reason: "not permitted: " + err.Error(), Err: err}
}

func (f *Fleet) may(p peer.ID, verb string) error {
	if err := f.whole(); err != nil {
		return err
	}
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if r := f.set.outcast(p, now); r != nil {
		return f.set.revokedWords(r, &Grant{Name: f.set.label(p)})
	}
	if _, allowed := f.allowed[p]; allowed {
		return nil
	}
	c, err := f.set.member(p, now)
	if errors.Is(err, ErrStranger) {
		if refused := f.refused[p]; refused != nil {
			return refused
		}
		return fmt.Errorf("%w: the peer has shown no grant of the fleet %s", ErrStranger, f.name)
	}
	if err != nil {
		return err
	}
	own, err := f.set.member(f.cfg.Self, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	return c.Grant.Allows(verb, own.Grant.Labels, now)
}

// label returns what a peer is called, or its ID.
func (s *set) label(p peer.ID) string {
	if st := highest(s.papers(p)); st != nil {
		return st.Grant.Name
	}
	return p.String()
}

// Revoked reports whether a peer was revoked: itself, or all that it holds. One whose signer has
// ended is not: it waits to be signed anew.
func (f *Fleet) Revoked(p peer.ID) bool {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.set.outcast(p, now) != nil {
		return true
	}
	_, err := f.set.member(p, now)
	return IsRevoked(err)
}

// Revocation returns the revocation that a peer is under, or nil.
func (f *Fleet) Revocation(p peer.ID) *Statement {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if _, ended := f.set.issuer(p, now); ended == nil {
		return nil
	}
	if r := f.set.peerRevoked(p); r != nil {
		return r
	}
	if st, _ := f.set.pick(p, now); st != nil {
		return f.set.revoked(st.Grant)
	}
	return nil
}

// MaySend returns why nothing may be sent to a peer: this node's own view says so, whatever the
// peer thinks. What other processes of this machine have heard by now counts. Before a connection
// is made, only a revocation does: the peer may have a grant that is not known yet.
func (f *Fleet) MaySend(p peer.ID, connected bool) error {
	if err := f.refresh(); err != nil {
		return err
	}
	if err := f.whole(); err != nil {
		return err
	}
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	if r := f.set.outcast(p, now); r != nil {
		return f.set.revokedWords(r, &Grant{Name: f.set.label(p)})
	}
	if _, allowed := f.allowed[p]; allowed {
		return nil
	}
	_, err := f.set.member(p, now)
	if !connected && !IsRevoked(err) {
		return nil
	}
	if _, own := f.set.member(f.cfg.Self, now); own != nil && err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, own) // so that nobody tells us who it is
	}
	if errors.Is(err, ErrStranger) {
		return fmt.Errorf("%w: the peer has shown no grant of the fleet %s (what belongs to no fleet is commanded from another state directory)", ErrStranger, f.name)
	}
	return err
}

// IsRevoked reports whether an error says that a member was itself revoked. One whose signer or
// sponsor has ended was not: it may be signed anew.
func IsRevoked(err error) bool {
	return (errors.Is(err, ErrRevokedPeer) || errors.Is(err, ErrRevokedLine)) &&
		!errors.Is(err, ErrSignerEnded) && !errors.Is(err, ErrSponsorEnded)
}

// Forget drops the grants of a member that is of no interest any more.
func (f *Fleet) Forget(p peer.ID) {
	f.mu.Lock()
	f.set.forgetPeer(p)
	f.mu.Unlock()
	f.Gone(p)
}
