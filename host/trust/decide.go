package trust

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// draft says what a signer may sign at a time, by what is known.
type draft struct {
	verdict
	by *Signer
}

// fill completes the grant of a decision.
func (s draft) fill(d *Decision) error {
	g := &d.Grant
	g.Line, g.Origins, g.Sponsor, g.Accept = s.by.newLine(), nil, s.broughtBy(d), nil
	if g.MayIssue != nil {
		return s.fillIssuer(d)
	}
	if r := s.outcast(g.Subject); r != nil {
		return &Blocked{Err: s.revokedWords(r, g), Need: NeedLift, Peer: g.Subject, Name: g.Name}
	}
	if st := highest(s.issuers[g.Subject]); st != nil && s.endedBy(st) == nil && s.now.UnixMilli() < st.Grant.Expires {
		return fmt.Errorf("%w: %s is an issuer, whose grant only the root replaces by another issuer's grant",
			ErrIssuer, st.Grant.Name)
	}
	if !s.by.ForAll() {
		st, _ := s.pick(g.Subject)
		if st == nil || st.Signer != s.by.id || st.Grant.Line.By != s.by.id {
			return fmt.Errorf("%w: %s may decide only about those that joined by its own tickets", ErrIssuer, s.by.own.Name)
		}
		g.Line, g.Accept = st.Grant.Line, st.Grant.Accept // no other line was accepted
		if d.Narrow {
			return &Blocked{Err: fmt.Errorf("%w: an issuer that is not for all cannot narrow a right, only revoke", ErrIssuer), Need: NeedRevoke}
		}
	}
	return s.number(g)
}

// broughtBy returns whose ticket gave the rights that a decision leaves as they are: a new name or
// label is no word on them.
func (s draft) broughtBy(d *Decision) peer.ID {
	c, err := s.member(d.Grant.Subject)
	if err != nil || d.Narrow || d.Grant.MayIssue != nil || !c.Grant.commands() || !sameRights(c.Grant, &d.Grant) {
		return ""
	}
	return c.Grant.Sponsor
}

func sameRights(a, b *Grant) bool {
	return slices.EqualFunc(a.rights(), b.rights(), func(a, b Right) bool {
		return slices.Equal(a.Verbs, b.Verbs) && a.On == b.On && a.Expires == b.Expires
	})
}

func (s draft) fillIssuer(d *Decision) error {
	g := &d.Grant
	if !s.by.Root() {
		return fmt.Errorf("%w: only the root makes issuers", ErrDepth)
	}
	old := highest(s.issuers[g.Subject])
	if old != nil {
		g.Despite = slices.Clone(old.Grant.Despite)
	}
	if ended := s.ended(g.Subject, g.Despite); len(ended) > 0 && !d.Reinstate {
		err := fmt.Errorf("%w: %s was ended by the root; to bring it back give it a new grant", ErrRevokedPeer, g.Name)
		return &Blocked{Err: err, Need: NeedReinstate, Peer: g.Subject, Name: g.Name}
	} else if len(ended) > 0 {
		g.Despite = append(g.Despite, ended...)
		if len(g.Despite) > maxDespite {
			return fmt.Errorf("%w: %s was ended too often: let it begin with a new key", ErrFull, g.Name)
		}
	} else if d.Extend && old != nil {
		g.Line = old.Grant.Line
	}
	return s.number(g)
}

// ended returns the root's revocations of a signer and of its lines that it does not stand in
// spite of yet.
func (s *set) ended(p peer.ID, despite []ID) (out []ID) {
	targets := []target{{peer: p}}
	for _, st := range s.issuers[p] {
		targets = append(targets, target{line: st.Grant.Line})
	}
	for _, t := range targets {
		for _, r := range s.revs[t] {
			if r.Signer == s.root && !slices.Contains(despite, r.ID) && !slices.Contains(out, r.ID) {
				out = append(out, r.ID)
			}
		}
	}
	return out
}

// reach is how far beyond the numbers of the root and of its own a signer follows those of others.
// No person decides so often; a thief who signed with the highest number, and was followed, would
// leave no number to anybody for good. The root is never refused: where it follows, it alone goes on.
const reach = 1 << 20

// next returns the number that follows all of the grants that what the signer signs is compared
// with. Numbers in what never counts are nobody's concern.
func (s draft) next(grants []*Statement) (int64, error) {
	own, top := int64(0), int64(0)
	var last *Statement
	for _, st := range grants {
		if !s.ranks(st) {
			continue
		}
		if st.Signer == s.root || st.Signer == s.by.id {
			own = max(own, st.Grant.N)
		}
		if st.Grant.N > top {
			top, last = st.Grant.N, st
		}
	}
	if !s.by.Root() && top-own > reach {
		err := fmt.Errorf("%w: %w: %s has signed for %s with the number %d, out of reach of others; end it first, with the root key",
			ErrNeedsPerson, ErrOutranked, s.nameOf(last.Signer), last.Grant.Name, top)
		return 0, &Blocked{Err: err, Need: NeedEnd, Peer: last.Signer, Name: last.Signer.String()}
	}
	if !s.by.Root() && top+1 >= maxDelegated {
		return 0, fmt.Errorf("%w: %w for %s with a number of the root, which alone goes on", ErrNeedsPerson, ErrOutranked, last.Grant.Name)
	}
	return top + 1, nil
}

// ranks reports whether a grant counts, or would if no time were over.
func (s *set) ranks(st *Statement) bool {
	if st.Signer == s.root || st.issuer() {
		return true
	}
	i := highest(s.issuers[st.Signer])
	return i != nil && !s.dead(st.Grant) && i.Grant.stands(st.Grant) == nil
}

// number gives a grant the number that follows all that it is compared with: those of issuers are
// compared with each other.
func (s draft) number(g *Grant) (err error) {
	grants := s.plain[g.Subject]
	if g.MayIssue != nil {
		grants = s.issuers[g.Subject]
	}
	g.N, err = s.next(grants)
	return err
}

// dead reports whether a member's grant never counts again: its signer has another line by now, or
// the root has ended it. Numbers in it are nobody's concern.
func (s *set) dead(g *Grant) bool {
	if g.By == s.root {
		return false
	}
	st := highest(s.issuers[g.By])
	return st != nil && (st.Grant.Line.Serial != g.Paper || s.endedBy(st) != nil)
}

// outranked returns [ErrOutranked] where a grant that is about to be signed would not count.
func (s draft) outranked(st *Statement) error {
	if st.issuer() {
		return nil
	}
	best, i := s.pick(st.Grant.Subject)
	if best == nil {
		return nil
	}
	if above := cmp.Or(cmp.Compare(class(i), classOf(s.by)), compareNumbers(best, st)); above > 0 {
		return fmt.Errorf("%w for %s, which this issuer may not replace; the root key may", ErrOutranked, st.Grant.Name)
	}
	return nil
}

// classOf is the class of what a signer signs.
func classOf(by *Signer) int {
	if by.ForAll() {
		return 1
	}
	return 0
}

// revokeLines revokes all lines in which a member holds something.
func (s draft) revokeLines(p peer.ID) (out []*Statement, err error) {
	seen := map[Line]struct{}{}
	for _, st := range s.plain[p] {
		if _, done := seen[st.Grant.Line]; done || s.underRevocation(target{line: st.Grant.Line}) {
			continue
		}
		seen[st.Grant.Line] = struct{}{}
		r, err := s.by.revoke(target{line: st.Grant.Line}, s.evidence(st), s.now)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// evidence returns a member's grant with that of its issuer.
func (s *set) evidence(st *Statement) *Credential {
	return credential(st, highest(s.issuers[st.Signer]))
}

// underRevocation reports whether the signer has revoked the target, and nobody lifted that.
func (s draft) underRevocation(t target) bool {
	var despite []ID // what an issuer stands in spite of does not end it
	if st := highest(s.issuers[t.peer]); st != nil && s.by.Root() {
		despite = st.Grant.Despite
	}
	return slices.ContainsFunc(s.revs[t], func(r *Statement) bool {
		return r.Signer == s.by.id && s.live(r) && !slices.Contains(despite, r.ID)
	})
}

// renewal returns the grant that carries on what a member holds.
func (s draft) renewal(p peer.ID) (*Grant, error) {
	if st := highest(s.issuers[p]); st != nil && (len(s.plain[p]) == 0 || s.endedBy(st) == nil) {
		return s.extension(st)
	}
	if !s.by.Root() {
		if i, err := s.issuer(s.by.id); err != nil || i.Grant.Line != s.by.own.Line {
			return nil, fmt.Errorf("%w: %s signs no more", ErrSignerEnded, s.by.own.Name)
		}
	}
	st, from, err := s.basis(p)
	if err != nil {
		return nil, err
	}
	g := st.Grant.clone()
	if o := (Origin{from, st.Grant.Paper}); from != s.root && !s.by.gave(st.Grant) && !slices.Contains(g.Origins, o) {
		if len(g.Origins) >= maxOrigins {
			return nil, fmt.Errorf("%w: %s was signed anew on the word of %d issuers", ErrNeedsPerson, g.Name, maxOrigins)
		}
		g.Origins = append(g.Origins, o)
	}
	if g.Verbs == nil {
		g.Verbs = []string{} // none, and not those of the role
	}
	g.Also = slices.DeleteFunc(g.Also, func(r Right) bool { return r.Expires != 0 && r.Expires <= s.now.UnixMilli() })
	expires := s.now.Add(g.Role.Lifetime()).UnixMilli()
	if g.Line.By == s.root {
		expires = max(expires, g.Expires)
	}
	g.Expires = expires
	return g, s.number(g)
}

// extension returns an issuer's grant for a further life, which only the root signs.
func (s draft) extension(st *Statement) (*Grant, error) {
	if !s.by.Root() {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrIssuer, st.Grant.Name)
	}
	if r := s.endedBy(st); r != nil {
		return nil, fmt.Errorf("%w: %s, by the root", ErrRevokedPeer, st.Grant.Name)
	}
	g := st.Grant.clone()
	g.Expires = 0
	return g, s.number(g)
}

// basis returns the grant that is carried on, and its signer.
func (s draft) basis(p peer.ID) (*Statement, peer.ID, error) {
	known := s.formerly(p)
	st, _ := s.pick(p)
	if st == nil && s.by.ForAll() {
		st = highest(known)
	}
	if st == nil {
		return nil, "", fmt.Errorf("%w: nothing that %s was given is known here", ErrNeedsPerson, s.label(p))
	}
	g := st.Grant
	if r := s.revoked(g); r != nil {
		return nil, "", s.revokedWords(r, g)
	}
	if !s.by.ForAll() {
		if g.By != s.by.id || g.Line.By != s.by.id {
			return nil, "", fmt.Errorf("%w: %s was let in by another issuer", ErrIssuer, g.Name)
		}
		return st, g.By, nil
	}
	if g.commands() && !s.by.Root() {
		if _, err := s.member(p); err != nil || g.By != s.root && g.By != s.by.id {
			return nil, "", fmt.Errorf("%w: the rights of %s were given by %s", ErrNeedsPerson, g.Name, s.nameOf(g.By))
		}
	}
	if !s.by.gave(g) && !agree(known) {
		return nil, "", fmt.Errorf("%w: several papers of %s tell different names or labels", ErrNeedsPerson, g.Name)
	}
	// Of two papers the one that was not revoked may be the work of a thief.
	revoked := func(o *Statement) bool { return s.revoked(o.Grant) != nil }
	if !s.by.gave(g) && g.By != s.root && slices.ContainsFunc(known, revoked) {
		return nil, "", fmt.Errorf("%w: another paper of %s was revoked", ErrNeedsPerson, g.Name)
	}
	return st, g.By, nil
}

// formerly returns the grants of a member that would stand, had their signers not ended.
func (s *set) formerly(p peer.ID) []*Statement {
	return slices.DeleteFunc(slices.Clone(s.plain[p]), func(st *Statement) bool { return !s.sound(st) })
}

// sound reports whether a member's grant would stand, had its signer not ended: by what is known of
// the line under which it was signed.
func (s *set) sound(st *Statement) bool {
	g := st.Grant
	if g.By == s.root {
		return true
	}
	return slices.ContainsFunc(s.papersOf(g), func(i *Statement) bool { return i.Grant.stands(g) == nil })
}

// agree reports whether all grants give the same name and labels.
func agree(known []*Statement) bool {
	return !slices.ContainsFunc(known, func(st *Statement) bool {
		return st.Grant.Name != known[0].Grant.Name || !maps.Equal(st.Grant.Labels, known[0].Grant.Labels)
	})
}

func (s draft) revokePeer(p peer.ID) ([]*Statement, error) {
	t := target{peer: p}
	if s.underRevocation(t) {
		return nil, nil
	}
	var evidence *Credential
	if !s.by.Root() {
		if st := highest(s.issuers[p]); st != nil {
			err := fmt.Errorf("%w: %s is an issuer, whom only the root revokes", ErrIssuer, st.Grant.Name)
			return nil, &Blocked{Err: err, Need: NeedRootKey, Peer: p, Name: st.Grant.Name}
		}
		st := highest(slices.DeleteFunc(slices.Clone(s.plain[p]), func(st *Statement) bool {
			return !s.by.ForAll() && st.Grant.Line.By != s.by.id
		}))
		switch {
		case st == nil && len(s.plain[p]) > 0:
			return nil, fmt.Errorf("%w: %s joined by a ticket of another issuer", ErrIssuer, s.label(p))
		case st == nil:
			err := fmt.Errorf("%w: no grant of %s is known here, so it takes the root key to revoke it", ErrStranger, p)
			return nil, &Blocked{Err: err, Need: NeedRootKey, Peer: p}
		}
		evidence = s.evidence(st)
	}
	st, err := s.by.revoke(t, evidence, s.now)
	return []*Statement{st}, err
}

func (s draft) revokeLine(l Line) ([]*Statement, error) {
	t := target{line: l}
	if s.underRevocation(t) {
		return nil, nil
	}
	var evidence *Credential
	if !s.by.Root() {
		if !s.by.ForAll() && l.By != s.by.id {
			return nil, fmt.Errorf("%w: another issuer began the line %s", ErrIssuer, l.Serial)
		}
		for _, st := range s.all {
			if st.Grant != nil && !st.issuer() && st.Grant.Line == l {
				evidence = s.evidence(st)
			}
		}
		if evidence == nil {
			return nil, fmt.Errorf("%w: no grant with the serial %s is known here", ErrStranger, l.Serial)
		}
	}
	st, err := s.by.revoke(t, evidence, s.now)
	return []*Statement{st}, err
}
