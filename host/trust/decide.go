package trust

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ErrNeedsPerson: a machine does not sign this by itself. A person looks, and decides.
var ErrNeedsPerson = errors.New("a person has to decide")

// Decision is what a person decides about a member. Fleet, line, number and times of the grant
// are set by Decide.
type Decision struct {
	Grant Grant
	// Narrow ends all that the member held: its lines are revoked in the same message.
	Narrow bool
	// Extend keeps the line that an issuer's grant is in, so that all that it signed goes on to
	// count. Without it a new line begins, and what it signed before is over.
	Extend bool
	// Reinstate lets an issuer stand in spite of the revocations that are known.
	Reinstate bool
}

// signing hands what all processes of this machine know to fn, while none of them signs, takes
// the statements that it returns, and writes them.
func (f *Fleet) signing(fn func(*set, time.Time) ([]*Statement, error)) (err error) {
	f.saving.Lock()
	defer f.saving.Unlock()
	unlock, err := f.store.lock()
	if err != nil {
		if f.Left() {
			return ErrNoFleet
		}
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := f.reload(); err != nil {
		return err
	}
	now := f.Now()
	f.mu.RLock()
	statements, err := fn(f.set, now)
	f.mu.RUnlock()
	if err != nil {
		return err
	}
	if _, err := f.take(statements, true); err != nil {
		return err
	}
	return f.save()
}

// Decide signs what a person has decided, and takes it. It fails when something else goes on to
// count for the member.
func (f *Fleet) Decide(s *Signer, d Decision) (Chain, error) {
	var chain Chain
	err := f.signing(func(have *set, now time.Time) (out []*Statement, err error) {
		if err := have.fill(&d, s, now); err != nil {
			return nil, err
		}
		if d.Narrow {
			if out, err = have.revokeLines(s, d.Grant.Subject, now); err != nil {
				return nil, err
			}
		}
		var st *Statement
		if st, chain, err = s.issue(d.Grant, now); err == nil {
			err = have.outranked(st, s, now)
		}
		if err != nil {
			return nil, err
		}
		return append(out, st), nil
	})
	if err != nil {
		return nil, err
	}
	return chain, f.counted(d.Grant.Subject, chain)
}

// counted returns [ErrOutranked] when another grant of the member goes on to count.
func (f *Fleet) counted(p peer.ID, c Chain) error {
	m, known := f.Known(p)
	if known && m.Err == nil && m.Chain.Equal(c) {
		return nil
	}
	if known && m.Err != nil {
		return fmt.Errorf("the new grant of %s does not count: %w", m.Grant.Name, m.Err)
	}
	return fmt.Errorf("%w for %s, which this issuer may not replace; the root key may", ErrOutranked, p)
}

// fill completes the grant of a decision.
func (s *set) fill(d *Decision, by *Signer, now time.Time) error {
	g := &d.Grant
	g.Line, g.Origins, g.Sponsor, g.Accept = by.newLine(), nil, "", nil
	if g.MayIssue != nil {
		return s.fillIssuer(d, by)
	}
	if r := s.outcast(g.Subject, now); r != nil {
		return &Blocked{Err: s.revokedWords(r, g), Need: NeedLift, Peer: g.Subject, Name: g.Name}
	}
	if st := highest(s.issuers[g.Subject]); st != nil && s.endedBy(st) == nil && now.UnixMilli() < st.Grant.Expires {
		return fmt.Errorf("%w: %s is an issuer, whose grant only the root replaces by another issuer's grant", ErrIssuer, st.Grant.Name)
	}
	if !by.ForAll() {
		st, _ := s.pick(g.Subject, now)
		if st == nil || st.Signer != by.id || st.Grant.Line.By != by.id {
			return fmt.Errorf("%w: %s may decide only about those that joined by its own tickets", ErrIssuer, by.own.Name)
		}
		g.Line, g.Accept = st.Grant.Line, st.Grant.Accept // no other line was accepted
		if d.Narrow {
			return &Blocked{Err: fmt.Errorf("%w: an issuer that is not for all cannot narrow a right, only revoke", ErrIssuer), Need: NeedRevoke}
		}
	}
	return s.number(g, by)
}

func (s *set) fillIssuer(d *Decision, by *Signer) error {
	g := &d.Grant
	if !by.Root() {
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
	return s.number(g, by)
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

// NextNumber returns the number that a member's next grant by an issuer has to have.
func (f *Fleet) NextNumber(p peer.ID) int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.set.next(p, maxDelegated-1)
}

// next returns the number that follows all below most that are known of a member and may count.
func (s *set) next(p peer.ID, most int64) int64 {
	n := int64(1)
	for _, st := range s.papers(p) {
		if st.Grant.N < most && !s.dead(st.Grant) {
			n = max(n, st.Grant.N+1)
		}
	}
	return n
}

// number gives a grant the number that follows all that are known of its subject.
func (s *set) number(g *Grant, by *Signer) error {
	most := int64(maxNumber)
	if !by.Root() {
		most = maxDelegated - 1
	}
	g.N = s.next(g.Subject, most)
	return nil
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
func (s *set) outranked(st *Statement, by *Signer, now time.Time) error {
	if st.issuer() {
		return nil
	}
	best, i := s.pick(st.Grant.Subject, now)
	if best == nil {
		return nil
	}
	if above := cmp.Or(cmp.Compare(class(i), classOf(by)), compareNumbers(best, st)); above > 0 {
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
func (s *set) revokeLines(by *Signer, p peer.ID, now time.Time) (out []*Statement, err error) {
	seen := map[Line]struct{}{}
	for _, st := range s.plain[p] {
		if _, done := seen[st.Grant.Line]; done || s.underRevocation(target{line: st.Grant.Line}, by) {
			continue
		}
		seen[st.Grant.Line] = struct{}{}
		r, err := by.revoke(target{line: st.Grant.Line}, s.evidence(st), now)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// evidence is a member's grant with that of its signer.
func (s *set) evidence(st *Statement) *Credential {
	return credential(st, highest(s.issuers[st.Signer]))
}

// underRevocation reports whether a signer has revoked a target, and that was not lifted.
func (s *set) underRevocation(t target, by *Signer) bool {
	var despite []ID // what an issuer stands in spite of does not end it
	if st := highest(s.issuers[t.peer]); st != nil && by.Root() {
		despite = st.Grant.Despite
	}
	return slices.ContainsFunc(s.revs[t], func(r *Statement) bool {
		return r.Signer == by.id && s.live(r) && !slices.Contains(despite, r.ID)
	})
}

// Renew signs a member's grant for a further life, in the line that it is in: what a machine does
// by itself at contact. The error matches [ErrNeedsPerson] where a person has to decide: rights
// that another issuer gave, and a machine of which several papers tell different things.
func (f *Fleet) Renew(s *Signer, p peer.ID) (Chain, error) {
	var chain Chain
	err := f.signing(func(have *set, now time.Time) ([]*Statement, error) {
		g, err := have.renewal(s, p, now)
		if err != nil {
			return nil, err
		}
		st, c, err := s.issue(*g, now)
		if err == nil {
			err = have.outranked(st, s, now)
		}
		if err != nil {
			return nil, err
		}
		chain = c
		return []*Statement{st}, nil
	})
	if err != nil {
		return nil, err
	}
	return chain, f.counted(p, chain)
}

// renewal returns the grant that carries on what a member holds.
func (s *set) renewal(by *Signer, p peer.ID, now time.Time) (*Grant, error) {
	if st := highest(s.issuers[p]); st != nil && (len(s.plain[p]) == 0 || s.endedBy(st) == nil) {
		return s.extension(by, st)
	}
	if !by.Root() {
		if i, err := s.issuer(by.id, now); err != nil || i.Grant.Line != by.own.Line {
			return nil, fmt.Errorf("%w: %s signs no more", ErrSignerEnded, by.own.Name)
		}
	}
	st, from, err := s.basis(by, p, now)
	if err != nil {
		return nil, err
	}
	g := st.Grant.clone()
	if o := (Origin{from, st.Grant.Paper}); from != s.root && !by.gave(st.Grant) && !slices.Contains(g.Origins, o) {
		if len(g.Origins) >= maxOrigins {
			return nil, fmt.Errorf("%w: %s was signed anew on the word of %d issuers", ErrNeedsPerson, g.Name, maxOrigins)
		}
		g.Origins = append(g.Origins, o)
	}
	if g.Verbs == nil {
		g.Verbs = []string{} // none, and not those of the role
	}
	g.Also = slices.DeleteFunc(g.Also, func(r Right) bool { return r.Expires != 0 && r.Expires <= now.UnixMilli() })
	expires := now.Add(g.Role.Lifetime()).UnixMilli()
	if g.Line.By == s.root {
		expires = max(expires, g.Expires)
	}
	g.Expires = expires
	return g, s.number(g, by)
}

// extension is an issuer's grant for a further life, by the root.
func (s *set) extension(by *Signer, st *Statement) (*Grant, error) {
	if !by.Root() {
		return nil, fmt.Errorf("%w: %s is an issuer, whose grant only the root signs", ErrIssuer, st.Grant.Name)
	}
	if r := s.endedBy(st); r != nil {
		return nil, fmt.Errorf("%w: %s, by the root", ErrRevokedPeer, st.Grant.Name)
	}
	g := st.Grant.clone()
	g.Expires = 0
	return g, s.number(g, by)
}

// basis returns the grant that is carried on, and who signed it.
func (s *set) basis(by *Signer, p peer.ID, now time.Time) (*Statement, peer.ID, error) {
	known := s.formerly(p)
	st, _ := s.pick(p, now)
	if st == nil && by.ForAll() {
		st = highest(known)
	}
	if st == nil {
		return nil, "", fmt.Errorf("%w: nothing that %s was given is known here", ErrNeedsPerson, s.label(p))
	}
	g := st.Grant
	if r := s.revoked(g); r != nil {
		return nil, "", s.revokedWords(r, g)
	}
	if !by.ForAll() {
		if g.By != by.id || g.Line.By != by.id {
			return nil, "", fmt.Errorf("%w: %s was let in by another issuer", ErrIssuer, g.Name)
		}
		return st, g.By, nil
	}
	if g.commands() && !by.Root() {
		if _, err := s.member(p, now); err != nil || g.By != s.root && g.By != by.id {
			return nil, "", fmt.Errorf("%w: the rights of %s were given by %s", ErrNeedsPerson, g.Name, s.nameOf(g.By))
		}
	}
	if !by.gave(g) && !agree(known) {
		return nil, "", fmt.Errorf("%w: several papers of %s tell different names or labels", ErrNeedsPerson, g.Name)
	}
	// Of two papers the one that was not revoked may be the work of a thief.
	if !by.gave(g) && g.By != s.root && slices.ContainsFunc(known, func(o *Statement) bool { return s.revoked(o.Grant) != nil }) {
		return nil, "", fmt.Errorf("%w: another paper of %s was revoked", ErrNeedsPerson, g.Name)
	}
	return st, g.By, nil
}

// formerly returns the grants of a member that would stand, had their signers not ended.
func (s *set) formerly(p peer.ID) (out []*Statement) {
	for _, st := range s.plain[p] {
		g := st.Grant
		if g.By == s.root {
			out = append(out, st)
			continue
		}
		for _, i := range s.issuers[g.By] {
			if i.Grant.Line.Serial == g.Paper && i.Grant.stands(g) == nil {
				out = append(out, st)
				break
			}
		}
	}
	return out
}

// agree reports whether grants tell the same name and labels.
func agree(known []*Statement) bool {
	return !slices.ContainsFunc(known, func(st *Statement) bool {
		return st.Grant.Name != known[0].Grant.Name || !maps.Equal(st.Grant.Labels, known[0].Grant.Labels)
	})
}

// Revoke signs revocations of peers and lines, and takes them. When it returns nil, each of them
// holds on this machine. For a peer that is an issuer it takes the root; for the lines of others
// the root, or an issuer for all.
func (f *Fleet) Revoke(s *Signer, peers []peer.ID, lines []Line) error {
	err := f.signing(func(have *set, now time.Time) (out []*Statement, err error) {
		for _, p := range peers {
			st, err := have.revokePeer(s, p, now)
			if err != nil {
				return nil, err
			}
			out = append(out, st...)
		}
		for _, l := range lines {
			st, err := have.revokeLine(s, l, now)
			if err != nil {
				return nil, err
			}
			out = append(out, st...)
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	return f.holds(peers, lines)
}

func (s *set) revokePeer(by *Signer, p peer.ID, now time.Time) ([]*Statement, error) {
	t := target{peer: p}
	if s.underRevocation(t, by) {
		return nil, nil
	}
	var evidence *Credential
	if !by.Root() {
		if st := highest(s.issuers[p]); st != nil {
			err := fmt.Errorf("%w: %s is an issuer, whom only the root revokes", ErrIssuer, st.Grant.Name)
			return nil, &Blocked{Err: err, Need: NeedRootKey, Peer: p, Name: st.Grant.Name}
		}
		own := slices.DeleteFunc(slices.Clone(s.plain[p]), func(st *Statement) bool { return !by.ForAll() && st.Grant.Line.By != by.id })
		st := highest(own)
		switch {
		case st == nil && len(s.plain[p]) > 0:
			return nil, fmt.Errorf("%w: %s joined by a ticket of another issuer", ErrIssuer, s.label(p))
		case st == nil:
			err := fmt.Errorf("%w: no grant of %s is known here, so it takes the root key to revoke it", ErrStranger, p)
			return nil, &Blocked{Err: err, Need: NeedRootKey, Peer: p}
		}
		evidence = s.evidence(st)
	}
	st, err := by.revoke(t, evidence, now)
	return []*Statement{st}, err
}

func (s *set) revokeLine(by *Signer, l Line, now time.Time) ([]*Statement, error) {
	t := target{line: l}
	if s.underRevocation(t, by) {
		return nil, nil
	}
	var evidence *Credential
	if !by.Root() {
		if !by.ForAll() && l.By != by.id {
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
	st, err := by.revoke(t, evidence, now)
	return []*Statement{st}, err
}

// holds returns an error where something that was revoked goes on to count.
func (f *Fleet) holds(peers []peer.ID, lines []Line) error {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range peers {
		if c, err := f.set.member(p, now); err == nil {
			return fmt.Errorf("%w: %s holds the grant %s all the same", ErrOutranked, c.Grant.Name, c.Grant.Line.Serial)
		}
	}
	for _, l := range lines {
		for _, st := range f.set.all {
			if st.Grant == nil || st.Grant.Line != l {
				continue
			}
			if c, err := f.set.member(st.Grant.Subject, now); err == nil && c.Grant.Line == l {
				return fmt.Errorf("%w: %s holds the grant %s all the same", ErrOutranked, c.Grant.Name, l.Serial)
			}
		}
	}
	return nil
}

// Lift ends revocations: those of a peer and of its lines. Only the root can. It brings no issuer
// back: that takes a new grant, see [Decision]. It returns how many there were.
func (f *Fleet) Lift(root *Signer, p peer.ID, lines ...Line) (lifted int, err error) {
	err = f.signing(func(have *set, now time.Time) ([]*Statement, error) {
		targets := []target{{peer: p}}
		for _, st := range have.plain[p] {
			targets = append(targets, target{line: st.Grant.Line})
		}
		if p == "" {
			targets = nil
		}
		for _, l := range lines {
			targets = append(targets, target{line: l})
		}
		var ids []ID
		for _, t := range targets {
			for _, r := range have.revs[t] {
				if have.live(r) && !slices.Contains(ids, r.ID) {
					ids = append(ids, r.ID)
				}
			}
		}
		if lifted = len(ids); lifted == 0 {
			return nil, nil
		}
		return root.liftAll(Lift{}, ids, now)
	})
	return lifted, err
}

// Close closes the book of a signer that has ended: of all that it revoked only what stands goes
// on to count, also of what nobody here has heard yet.
func (f *Fleet) Close(root *Signer, signer peer.ID, standing []ID) error {
	return f.signing(func(have *set, now time.Time) ([]*Statement, error) {
		if st := highest(have.issuers[signer]); st != nil && have.endedBy(st) == nil {
			err := fmt.Errorf("%s goes on to sign: end it first", st.Grant.Name)
			return nil, &Blocked{Err: err, Need: NeedEnd, Peer: signer, Name: st.Grant.Name}
		}
		l := Lift{Signer: signer, Standing: standing}
		for _, st := range have.issuers[signer] {
			if serial := st.Grant.Line.Serial; !slices.Contains(l.Lines, serial) {
				l.Lines = append(l.Lines, serial)
			}
		}
		st, err := root.lift(l, now)
		return []*Statement{st}, err
	})
}

// Waive lets a machine obey again without statements that it has lost and that nobody has.
func (f *Fleet) Waive(root *Signer, machine peer.ID, ids []ID) error {
	return f.signing(func(_ *set, now time.Time) ([]*Statement, error) {
		return root.liftAll(Lift{Machine: machine}, ids, now)
	})
}

// AskMinProtocol asks the whole fleet for a protocol version; an empty one ends all that was asked.
func (f *Fleet) AskMinProtocol(root *Signer, version string) error {
	return f.signing(func(have *set, now time.Time) ([]*Statement, error) {
		p := Policy{MinProtocol: version}
		for id, st := range have.all {
			if _, lowered := have.lowered[id]; st.Policy != nil && !lowered {
				p.Lowers = append(p.Lowers, id)
			}
		}
		st, err := root.policy(p, now)
		return []*Statement{st}, err
	})
}
