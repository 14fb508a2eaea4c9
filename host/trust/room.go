package trust

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// roomToRevoke returns why there is no room for a revocation. Those that do not count take none.
func (s *set) roomToRevoke(st *Statement) error {
	r := st.Revocation
	if r.By == s.root || !s.live(st) {
		return nil
	}
	same := 0
	for _, o := range s.revs[r.target()] {
		if o.Signer == r.By && s.live(o) {
			same++
		}
	}
	switch {
	case same >= maxPerTarget:
		return fmt.Errorf("%w: %s has revoked the same %d times", ErrFull, r.By, same)
	case s.owned[r.word()] >= maxOwnRevoked:
		return fmt.Errorf("%w: %s has revoked %d times on the word of %s", ErrFull, r.By, maxOwnRevoked, r.word().shown)
	}
	return nil
}

// surplus returns the grant that has to go when a signer has signed too many for one subject. The
// highest that counts stays, whatever the thief of a key signs in a line of it that has ended; and
// of those that tell the same name and labels one stays, so that it is known when others differ.
func (s *set) surplus(g *Grant) *Statement {
	most := maxPerSigner
	if g.Subject == s.self {
		most = maxOwnPapers
	}
	var same []*Statement
	for _, o := range s.plain[g.Subject] {
		if o.Signer == g.By {
			same = append(same, o)
		}
	}
	if len(same) <= most {
		return nil
	}
	slices.SortFunc(same, compareNumbers)
	return s.leastOf(same)
}

// leastOf chooses of one signer's grants of a subject, in the order of their numbers, the one that
// tells least: one of an ended line before others, and one that repeats before one that does not.
func (s *set) leastOf(same []*Statement) *Statement {
	ended := func(st *Statement) bool {
		i := highest(s.issuers[st.Signer])
		return st.Grant.Paper != "" && (i == nil || i.Grant.Line.Serial != st.Grant.Paper)
	}
	top := slices.MaxFunc(same, func(a, b *Statement) int {
		if x, y := ended(a), ended(b); x != y {
			return cmp.Compare(rank(y), rank(x))
		}
		return compareNumbers(a, b)
	})
	rest := slices.DeleteFunc(slices.Clone(same), func(st *Statement) bool { return st == top })
	return slices.MinFunc(rest, func(a, b *Statement) int {
		return cmp.Or(cmp.Compare(rank(repeats(b, same)), rank(repeats(a, same))),
			cmp.Compare(rank(ended(b)), rank(ended(a))), compareNumbers(a, b))
	})
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
	i, err := s.issuer(g.By)
	switch {
	case err != nil && len(s.signed[g.By]) >= maxOrphans && !s.roomForOrphan(g):
		return fmt.Errorf("%w: %d members with grants by %s, which has ended", ErrFull, maxOrphans, g.By)
	case err == nil && !i.Grant.MayIssue.ForAll && len(s.signed[g.By]) >= maxDelegates:
		return fmt.Errorf("%w: %d members with grants by %s", ErrFull, maxDelegates, g.By)
	case len(s.plain) >= maxSubjects && !s.makeRoom(g):
		return fmt.Errorf("%w: %d members are known", ErrFull, maxSubjects)
	}
	return nil
}

// roomForOrphan reports whether there is room for another member that only an ended signer speaks
// for. Those that were signed anew do not count. One that was revoked makes room; and for a machine
// that shows its grant itself any other does, one that was only told of before one that has shown
// itself: a real one comes again, and is there when it is signed anew.
func (s verdict) roomForOrphan(g *Grant) bool {
	_, shows := s.seen[g.Subject]
	orphans, gone, least := 0, peer.ID(""), 0
	for p := range s.signed[g.By] {
		if _, err := s.member(p); err == nil || p == s.self {
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

// makeRoom forgets the grants of a peer that is no member any more; or, for a machine that shows
// its grant itself, of one that no person has confirmed.
func (s verdict) makeRoom(g *Grant) bool {
	_, shows := s.seen[g.Subject]
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
