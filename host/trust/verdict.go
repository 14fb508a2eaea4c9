package trust

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// verdict judges by a set, at a time. The caller guards the set.
type verdict struct {
	*set
	now time.Time
}

// issuer returns the grant by which a peer signs for others now. Of all that it ever had only
// the one with the highest number counts: a signer has one line at a time. A lift brings no
// signer back; a new grant that stands in spite of the revocation does.
func (s verdict) issuer(p peer.ID) (*Statement, error) {
	st := highest(s.issuers[p])
	if st == nil {
		return nil, noSigner(p)
	}
	if r := s.endedBy(st); r != nil {
		if r.Peer != "" {
			return st, fmt.Errorf("%w: %s, by the root on %s", ErrRevokedPeer, st.Grant.Name, when(r.Issued))
		}
		return st, fmt.Errorf("%w: %s of %s, by the root on %s", ErrRevokedLine, r.Line.Serial, st.Grant.Name, when(r.Issued))
	}
	return st, st.Grant.expired(s.now)
}

// noSigner is a peer that the root lets sign nothing, as far as is known. Most members are such, so
// the words are made when somebody reads them.
type noSigner peer.ID

func (p noSigner) Error() string {
	return fmt.Sprintf("%v: no grant is known by which the root lets %s sign", ErrSignerEnded, peer.ID(p))
}

func (p noSigner) Unwrap() error { return ErrSignerEnded }

// counts returns why a member's grant gives nothing, whatever else is known of the member: its
// signer has ended, or may not sign this. The signer's own grant is returned; nil for the root.
func (s verdict) counts(g *Grant) (*Statement, error) {
	if g.By == s.root {
		return nil, nil
	}
	i, err := s.issuer(g.By)
	switch {
	case err != nil:
		return i, fmt.Errorf("%w: the grant of %s: %w", ErrSignerEnded, g.Name, err)
	case i.Grant.Line.Serial != g.Paper:
		return i, fmt.Errorf("%w: %s signed the grant of %s under a line that has ended",
			ErrSignerEnded, i.Grant.Name, g.Name)
	}
	return i, i.Grant.stands(g)
}

// stands returns why the issuer with grant i may not sign the grant g.
func (i *Grant) stands(g *Grant) error {
	if err := i.mayGive(g); err != nil {
		return fmt.Errorf("%w: %w", ErrIssuer, err)
	}
	switch {
	case !i.MayIssue.ForAll && (!g.accepted || g.Line.By != g.By):
		return fmt.Errorf("%w: %s by %s", ErrNotAsked, g.Name, i.Name)
	case g.commands() && g.Line.By != g.By && g.Line.By != i.By:
		return fmt.Errorf("%w: rights in a line that another signer began", ErrIssuer)
	}
	return nil
}

// pick returns the grant of a member that counts of all that are known, with its signer's: those
// by the root or an issuer for all before others, then the highest number. It may have ended:
// nothing wider comes back by waiting.
func (s verdict) pick(p peer.ID) (best, by *Statement) {
	for _, st := range s.plain[p] {
		i, err := s.counts(st.Grant)
		if err != nil {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(class(i), class(by)), compareNumbers(st, best)) > 0 {
			best, by = st, i
		}
	}
	return best, by
}

// class is 1 for what the root or an issuer for all has signed, given the signer's own grant, and 0
// for what others have.
func class(i *Statement) int {
	if i == nil || i.Grant.MayIssue.ForAll {
		return 1
	}
	return 0
}

// outcast returns the revocation that a peer is under whatever it holds, or nil. Issuers are ended
// by the root alone, and come back in spite of what it revoked: see issuer.
func (s verdict) outcast(p peer.ID) *Statement {
	if _, ended := s.issuer(p); ended == nil {
		return nil
	}
	return s.peerRevoked(p)
}

// member returns what a peer holds now, or why it holds nothing: then with the grant that would
// come nearest, or nil where none is known.
func (s verdict) member(p peer.ID) (*Credential, error) {
	c, err := s.judge(p, true)
	if err == nil {
		c.Unconfirmed = s.doubtful(c.Grant)
	}
	return c, err
}

// judge is member without the question whether the member is confirmed.
func (s verdict) judge(p peer.ID, sponsored bool) (*Credential, error) {
	i, ended := s.issuer(p)
	if ended == nil {
		return credential(i, nil), nil
	}
	st, by := s.pick(p)
	if st == nil {
		return s.nearest(p, i, ended)
	}
	c := credential(st, by)
	if r := s.revoked(st.Grant); r != nil {
		return c, s.revokedWords(r, st.Grant)
	}
	if err := st.Grant.expired(s.now); err != nil {
		return c, err
	}
	return c, s.bySponsor(c, sponsored)
}

// nearest explains why no grant of a peer counts.
func (s verdict) nearest(p peer.ID, issuer *Statement, ended error) (*Credential, error) {
	if issuer != nil {
		return credential(issuer, nil), ended
	}
	st := highest(s.plain[p])
	if st == nil {
		return nil, ErrStranger
	}
	by, err := s.counts(st.Grant)
	if by == nil {
		return &Credential{Grant: st.Grant, st: st}, err
	}
	c := credential(st, by)
	if r := s.revoked(st.Grant); r != nil {
		return c, s.revokedWords(r, st.Grant)
	}
	return c, err
}

// doubtful reports whether a grant stands on the word of a peer that has ended: an issuer, or the
// member whose ticket brought the subject in.
func (s verdict) doubtful(g *Grant) bool {
	if g.Sponsor != "" && !g.commands() && s.disowned(g.Sponsor) {
		return true
	}
	return slices.ContainsFunc(g.Origins, func(o Origin) bool {
		i, err := s.issuer(o.By)
		return err != nil || i.Grant.Line.Serial != o.Paper
	})
}

// disowned reports whether a member was revoked, or made by an issuer that was, or is not known at
// all. A member whose time is over, or its issuer's, was a good one.
func (s verdict) disowned(p peer.ID) bool {
	if s.peerRevoked(p) != nil {
		return true
	}
	_, err := s.judge(p, true)
	over := errors.Is(err, ErrExpired) && !errors.Is(err, ErrRevokedPeer) && !errors.Is(err, ErrRevokedLine)
	return err != nil && !over
}

// bySponsor returns why the rights that a grant gives are not held by the one whose ticket brought
// the member in. A sponsor has no sponsor itself.
func (s verdict) bySponsor(c *Credential, sponsored bool) error {
	g := c.Grant
	if g.Sponsor == "" || !g.commands() {
		return nil
	}
	if !sponsored {
		return fmt.Errorf("%w: %s was itself brought in by a ticket of another", ErrSponsorEnded, g.Name)
	}
	sponsor, err := s.judge(g.Sponsor, false)
	c.sponsor = sponsor
	if err == nil {
		err = sponsor.Grant.mayBring(g, s.now)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSponsorEnded, g.Name, err)
	}
	return nil
}

// mayBring returns why the holder of s does not hold all rights that m gives.
func (s *Grant) mayBring(m *Grant, now time.Time) error {
	holds := func(verb string, on func(string) bool) bool {
		return slices.ContainsFunc(s.rights(), func(r Right) bool {
			return (r.Expires == 0 || now.UnixMilli() < r.Expires) && coversOne(r.Verbs, verb) && on(r.On)
		})
	}
	if !holds(VerbAdmit, func(string) bool { return true }) {
		return fmt.Errorf("%s has not the right %s", s.Name, VerbAdmit)
	}
	for _, r := range m.rights() {
		for _, v := range r.Verbs {
			if !holds(v, func(on string) bool { return within(r.On, on) }) {
				return fmt.Errorf("%s has not the right %s on all of these machines", s.Name, v)
			}
		}
	}
	return nil
}
