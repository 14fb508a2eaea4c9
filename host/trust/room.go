package trust

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// bound is one of those on revocations: of all by a signer, of those on the word of an issuer, or of
// one target. Where a bound is reached, no further revocation under it is taken, however small: so
// two nodes that have both reached it have nothing to tell each other of these.
type bound struct {
	by    peer.ID
	shown peer.ID // for those on the word of an issuer
	// for those of one target: what one of them does, each does, and they end together
	of     target
	paper  string
	forAll bool
}

// reached returns the widest bound that keeps out further revocations like this one, if any does.
// Those that do not count take no room.
func (s *set) reached(st *Statement) (b bound, full bool) {
	r := st.Revocation
	if st.Signer == s.root || !s.live(st) {
		return b, false
	}
	if s.revoking[st.Signer].bytes >= maxRevokedBytes {
		return bound{by: st.Signer}, true
	}
	if w, l := r.word(), s.owned[r.word()]; l.n >= maxOwnRevoked || l.bytes >= maxWordBytes {
		return bound{by: w.by, shown: w.shown}, true
	}
	same := 0
	for _, o := range s.revs[r.target()] {
		if o.Signer == st.Signer && o.Revocation.paper == r.paper && o.Revocation.forAll == r.forAll && s.live(o) {
			same++
		}
	}
	return bound{by: st.Signer, of: r.target(), paper: r.paper, forAll: r.forAll}, same >= maxPerTarget
}

// roomToRevoke returns why there is no room for a revocation.
func (s *set) roomToRevoke(st *Statement) error {
	b, full := s.reached(st)
	switch {
	case !full:
		return nil
	case b.shown != "":
		return fmt.Errorf("%w: %s has revoked %d times, with %d bytes, on the word of %s",
			ErrFull, b.by, s.owned[word{b.by, b.shown}].n, s.owned[word{b.by, b.shown}].bytes, b.shown)
	case b.of != target{}:
		return fmt.Errorf("%w: %s has revoked the same %d times", ErrFull, b.by, maxPerTarget)
	}
	return fmt.Errorf("%w: %s has revoked %d times, with %d bytes", ErrFull, b.by, s.revoking[b.by].n, s.revoking[b.by].bytes)
}

// fits makes room in bytes for a grant that was just added, or returns why there is none. What
// repeats another grant of the same signer goes first. For a machine that shows its grant itself
// others go, too: those that were only told of, and where the signer has ended any. What tells
// something else of a member never makes room for another grant: else a thief could hide that
// grants differ.
func (s verdict) fits(st *Statement) error {
	g := st.Grant
	over := func() bool { return s.granting[g.By].bytes > maxGrantsBytes }
	if s.granting[g.By].bytes <= maxGrantsBytes/8*7 {
		delete(s.swept, g.By)
	}
	if g.By == s.root || g.Subject == s.self || !over() {
		return nil
	}
	s.dropRepeats(g.By, g.Subject)
	if _, swept := s.swept[g.By]; over() && !swept {
		for p := range s.signed[g.By] {
			s.dropRepeats(g.By, p)
		}
		if over() {
			s.swept[g.By] = struct{}{}
		}
	}
	if _, shows := s.seen[g.Subject]; over() && shows {
		s.dropOthers(g, over)
	}
	if over() {
		return fmt.Errorf("%w: %d bytes of grants by %s", ErrFull, s.granting[g.By].bytes, g.By)
	}
	return nil
}

// dropRepeats forgets those of one signer's grants of a subject that repeat another of them, or
// never count.
func (s *set) dropRepeats(by, p peer.ID) {
	for {
		same := s.by(by, p)
		if len(same) < 2 {
			return
		}
		least := s.leastOf(same)
		if s.sound(least) && !repeats(least, same) {
			return
		}
		s.forget(least)
	}
}

// dropOthers forgets grants by the signer of g of other subjects until that is enough.
func (s verdict) dropOthers(g *Grant, over func() bool) {
	_, ended := s.issuer(g.By)
	for _, shown := range []bool{false, true} {
		for p := range s.signed[g.By] {
			_, seen := s.seen[p]
			if !over() || shown && ended == nil {
				return
			}
			if p == s.self || p == g.Subject || seen != shown {
				continue
			}
			for _, st := range s.by(g.By, p) {
				s.forget(st)
			}
		}
	}
}

// by returns one signer's grants of a subject.
func (s *set) by(by, p peer.ID) (out []*Statement) {
	for _, st := range s.plain[p] {
		if st.Signer == by {
			out = append(out, st)
		}
	}
	return out
}

// surplus returns the grant that has to go when a signer has signed too many for one subject. The
// highest that counts stays, whatever the thief of a key signs in an ended line or beyond its rights;
// and of those that tell the same name and labels one, so that it is known when others differ.
func (s *set) surplus(g *Grant) *Statement {
	most := maxPerSigner
	if g.Subject == s.self {
		most = maxOwnPapers
	}
	same := s.by(g.By, g.Subject)
	if len(same) <= most {
		return nil
	}
	slices.SortFunc(same, compareNumbers)
	return s.leastOf(same)
}

// leastOf chooses of one signer's grants of a subject the one that tells least, but for the highest
// that counts: one that never counts before others, then one that repeats, then one of an ended line.
func (s *set) leastOf(same []*Statement) *Statement {
	type told struct {
		*Statement
		sound, single, alive int
	}
	list := make([]told, len(same))
	for i, st := range same {
		list[i] = told{st, rank(s.sound(st)), rank(!repeats(st, same)), rank(!s.dead(st.Grant))}
	}
	top := slices.MaxFunc(list, func(a, b told) int {
		return cmp.Or(cmp.Compare(a.sound, b.sound), cmp.Compare(a.alive, b.alive), compareNumbers(a.Statement, b.Statement))
	})
	list = slices.DeleteFunc(list, func(t told) bool { return t.Statement == top.Statement })
	return slices.MinFunc(list, func(a, b told) int {
		return cmp.Or(cmp.Compare(a.sound, b.sound), cmp.Compare(a.single, b.single), cmp.Compare(a.alive, b.alive),
			compareNumbers(a.Statement, b.Statement))
	}).Statement
}

func rank(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// repeats reports whether another grant tells the same name and labels.
func repeats(st *Statement, others []*Statement) bool {
	return slices.ContainsFunc(others, func(o *Statement) bool { return o != st && agree([]*Statement{o, st}) })
}

// roomFor returns why a grant of a subject that is not known yet cannot be kept.
func (s verdict) roomFor(g *Grant) error {
	if len(s.plain[g.Subject]) > 0 || g.Subject == s.self || g.By == s.root {
		return nil
	}
	_, shows := s.seen[g.Subject]
	room := func(by peer.ID, look func() bool) bool {
		if at, known := s.full[by]; known && !shows && s.now.Sub(at).Abs() < fullFor {
			return false
		}
		found := look()
		if !found {
			s.full[by] = s.now
		}
		return found
	}
	i, err := s.issuer(g.By)
	switch {
	case err != nil && len(s.signed[g.By]) >= maxOrphans && !room(g.By, func() bool { return s.roomForOrphan(g, shows) }):
		return fmt.Errorf("%w: %d members with grants by %s, which has ended", ErrFull, maxOrphans, g.By)
	case err == nil && !i.Grant.MayIssue.ForAll && len(s.signed[g.By]) >= maxDelegates:
		return fmt.Errorf("%w: %d members with grants by %s", ErrFull, maxDelegates, g.By)
	case len(s.plain) >= maxSubjects && !room("", func() bool { return s.makeRoom(shows) }):
		return fmt.Errorf("%w: %d members are known", ErrFull, maxSubjects)
	}
	return nil
}

// roomForOrphan reports whether there is room for another member that only an ended signer speaks
// for. Those that were signed anew do not count. One that was revoked makes room; and for a machine
// that shows its grant itself any other does, one that was only told of before one that has shown
// itself: a real one comes again, and is there when it is signed anew.
func (s verdict) roomForOrphan(g *Grant, shows bool) bool {
	speaks := map[peer.ID]bool{s.root: true} // signers that go on to sign
	orphans, gone, least := 0, peer.ID(""), 0
	for p := range s.signed[g.By] {
		if p == s.self || s.spokenFor(p, speaks) {
			continue
		}
		orphans++
		_, seen := s.seen[p]
		worth := 0
		switch {
		case s.peerRevoked(p) != nil:
			worth = 3
		case shows && !seen:
			worth = 2
		case shows:
			worth = 1
		}
		if worth > least {
			gone, least = p, worth
		}
	}
	if orphans < maxOrphans {
		return true
	}
	if gone != "" {
		s.forgetPeer(gone)
	}
	return gone != ""
}

// spokenFor reports whether the root, or an issuer that goes on to sign, has signed for a member.
// speaks is what is known of signers.
func (s verdict) spokenFor(p peer.ID, speaks map[peer.ID]bool) bool {
	return slices.ContainsFunc(s.papers(p), func(st *Statement) bool {
		if _, known := speaks[st.Signer]; !known {
			_, ended := s.issuer(st.Signer)
			speaks[st.Signer] = ended == nil
		}
		return speaks[st.Signer]
	})
}

// makeRoom forgets the grants of a peer that is no member any more; or, for a machine that shows
// its grant itself, of one that no person has confirmed.
func (s verdict) makeRoom(shows bool) bool {
	gone := peer.ID("")
	for p := range s.plain {
		if p == s.self {
			continue
		}
		c, err := s.member(p)
		if _, seen := s.seen[p]; err != nil && (shows || !seen || IsRevoked(err)) {
			gone = p
			break
		}
		if shows && err == nil && c.Unconfirmed {
			gone = p
		}
	}
	if gone != "" {
		s.forgetPeer(gone)
	}
	return gone != ""
}
