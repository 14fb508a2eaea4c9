package trust

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/mod/semver"
)

// Bounds on what a node keeps. Revocations are never forgotten, so a thief's must be few: each
// needs evidence, and of the lines that a thief makes up itself only so many count. Counts alone
// are no bound for a small board, since statements can be large: what one signer says is bounded in
// bytes as well. Grants and revocations have rooms of their own, and what rests on the word of one
// issuer never takes all of the latter, so that junk does not keep the signer from revoking.
const (
	maxSubjects     = 10_000 // members whose grants are kept
	maxDelegates    = 5_000  // of them those of one issuer that is not for all
	maxOrphans      = 512    // subjects whose grants by one ended signer are kept, for a person to look at
	maxPerSigner    = 4      // grants of one subject by one signer
	maxOwnPapers    = 64     // grants of this node itself, by one signer
	maxPerTarget    = 8      // revocations of one target by one signer
	maxOwnRevoked   = 4_096  // revocations by one signer in lines that it began itself, or on the word of one other issuer
	maxSigners      = 64
	maxIssuerGrants = 1_024 // of one peer; the root alone makes them

	maxGrantsBytes  = 16 << 20 // of members' grants by one signer
	maxRevokedBytes = 16 << 20 // of revocations by one signer; the one that goes beyond is the last
	maxWordBytes    = 12 << 20 // of them on the word of one issuer

	fullFor = time.Minute // for which it is remembered that there is no room, whoever makes up members
)

// set is a grow-only set of statements. A verdict depends on the statements and on the time that it
// is asked for, and on nothing else: not on their order of arrival, not on dates in them, not on
// what was decided before. The caller guards it.
type set struct {
	root peer.ID
	self peer.ID

	all      map[ID]*Statement
	plain    map[peer.ID][]*Statement // grants of members, by subject
	issuers  map[peer.ID][]*Statement // grants of issuers, by subject
	revs     map[target][]*Statement
	lifted   map[ID]struct{}
	closed   map[peer.ID]*closure // by signer
	waived   map[ID]struct{}      // statements that this node need not have
	lowered  map[ID]struct{}
	owned    map[word]load        // revocations on the word of an issuer, as far as they count
	revoking map[peer.ID]load     // revocations by a signer, as far as they count
	granting map[peer.ID]load     // members' grants by a signer
	swept    map[peer.ID]struct{} // signers of whose grants none repeats another
	signed   map[peer.ID]map[peer.ID]struct{}
	seen     map[peer.ID]struct{}  // members that have shown their grants themselves
	full     map[peer.ID]time.Time // since when there is no room: by ended signer, by "" for all members
}

// load is how much there is of something.
type load struct{ n, bytes int }

// add counts a statement, or one that goes.
func (l load) add(st *Statement, n int) load { return load{l.n + n, l.bytes + n*len(st.Data)} }

// closure is what the root said when it closed the book of a signer: which of its revocations
// count.
type closure struct {
	all      bool // under whatever line
	lines    map[string]struct{}
	standing map[ID]struct{}
}

// over reports whether a revocation counts no more because its signer's book is closed.
func (s *set) over(r *Statement) bool {
	b := s.closed[r.Signer]
	if b == nil {
		return false
	}
	_, line := b.lines[r.Revocation.paper]
	_, stands := b.standing[r.ID]
	return (b.all || line) && !stands
}

// common reports whether all nodes should have a statement: nobody need hear what a closed book
// holds.
func (s *set) common(st *Statement) bool {
	return st.common() && (st.Revocation == nil || !s.over(st))
}

func newSet(root, self peer.ID) *set {
	return &set{
		root: root, self: self, all: map[ID]*Statement{},
		plain: map[peer.ID][]*Statement{}, issuers: map[peer.ID][]*Statement{}, revs: map[target][]*Statement{},
		lifted: map[ID]struct{}{}, closed: map[peer.ID]*closure{}, seen: map[peer.ID]struct{}{},
		waived: map[ID]struct{}{}, lowered: map[ID]struct{}{},
		owned: map[word]load{}, revoking: map[peer.ID]load{}, granting: map[peer.ID]load{},
		swept: map[peer.ID]struct{}{}, signed: map[peer.ID]map[peer.ID]struct{}{}, full: map[peer.ID]time.Time{},
	}
}

// at returns what judges by the set at a time.
func (s *set) at(now time.Time) verdict { return verdict{s, now} }

// add takes a statement that is valid in form. It reports whether it was new; the error matches
// [ErrFull] where there is no room for it. What the node has kept before has its room, in whatever
// order it is read: else it would be missed.
func (s *set) add(st *Statement, now time.Time, kept bool) (bool, error) {
	if _, known := s.all[st.ID]; known {
		return false, nil
	}
	switch {
	case st.issuer():
		return s.addIssuer(st)
	case st.Grant != nil:
		return s.addGrant(st, now, kept)
	case st.Revocation != nil:
		return s.addRevocation(st, kept)
	case st.Lift != nil:
		s.addLift(st.Lift)
	default:
		for _, id := range st.Policy.Lowers {
			s.lowered[id] = struct{}{}
		}
	}
	s.all[st.ID] = st
	return true, nil
}

func (s *set) addIssuer(st *Statement) (bool, error) {
	p := st.Grant.Subject
	if len(s.issuers[p]) >= maxIssuerGrants {
		return false, fmt.Errorf("%w: %d grants of the issuer %s", ErrFull, maxIssuerGrants, p)
	}
	s.all[st.ID] = st
	s.issuers[p] = append(s.issuers[p], st)
	return true, nil
}

func (s *set) addRevocation(st *Statement, kept bool) (bool, error) {
	if !kept {
		if s.over(st) {
			return false, nil
		}
		if err := s.roomToRevoke(st); err != nil {
			return false, err
		}
	}
	s.all[st.ID] = st
	s.revs[st.Revocation.target()] = append(s.revs[st.Revocation.target()], st)
	s.count(st)
	clear(s.full)
	return true, nil
}

// word is a signer of revocations with the signer of the evidence: a thief with both keys makes up
// as much as it likes. Nobody makes up what the root gave.
type word struct{ by, shown peer.ID }

func (r *Revocation) word() word {
	if r.own {
		return word{r.By, r.By}
	}
	return word{r.By, r.shown}
}

// count counts a revocation.
func (s *set) count(st *Statement) {
	if !s.live(st) {
		return
	}
	s.revoking[st.Signer] = s.revoking[st.Signer].add(st, 1)
	if w := st.Revocation.word(); w.shown != "" {
		s.owned[w] = s.owned[w].add(st, 1)
	}
}

// recount counts anew after a lift.
func (s *set) recount() {
	clear(s.owned)
	clear(s.revoking)
	for _, list := range s.revs {
		for _, st := range list {
			s.count(st)
		}
	}
}

func (s *set) addLift(l *Lift) {
	switch {
	case l.Signer != "":
		b := s.closed[l.Signer]
		if b == nil {
			b = &closure{lines: map[string]struct{}{}, standing: map[ID]struct{}{}}
			s.closed[l.Signer] = b
		}
		b.all = b.all || len(l.Lines) == 0
		for _, line := range l.Lines {
			b.lines[line] = struct{}{}
		}
		for _, id := range l.Standing {
			b.standing[id] = struct{}{}
		}
	case l.Machine == "":
		for _, id := range l.IDs {
			s.lifted[id] = struct{}{}
		}
	case l.Machine == s.self:
		for _, id := range l.IDs {
			s.waived[id] = struct{}{}
		}
	}
	s.recount()
}

// addGrant takes a member's grant. Of one signer the newest few are kept for each subject; those of
// other signers stay beside them, since they count again when that signer ends. Of a key that the
// root has never named as an issuer nothing is kept: anybody has such keys, without number.
func (s *set) addGrant(st *Statement, now time.Time, kept bool) (bool, error) {
	g := st.Grant
	if !kept && g.By != s.root && len(s.issuers[g.By]) == 0 {
		return false, noSigner(g.By)
	}
	if err := s.at(now).roomFor(g); err != nil {
		return false, err
	}
	s.all[st.ID] = st
	s.plain[g.Subject] = append(s.plain[g.Subject], st)
	s.granting[g.By] = s.granting[g.By].add(st, 1)
	if s.signed[g.By] == nil {
		s.signed[g.By] = map[peer.ID]struct{}{}
	}
	s.signed[g.By][g.Subject] = struct{}{}
	gone := s.surplus(g)
	if gone != nil {
		s.forget(gone)
	}
	if err := s.at(now).fits(st); err != nil {
		s.forget(st)
		return false, err
	}
	_, stays := s.all[st.ID]
	return stays, nil
}

// compareNumbers orders grants by number, and those of the same number by ID.
func compareNumbers(a, b *Statement) int {
	return cmp.Or(cmp.Compare(a.Grant.N, b.Grant.N), a.ID.Compare(b.ID))
}

// forgetPeer drops the grants of a member.
func (s *set) forgetPeer(p peer.ID) {
	for _, st := range slices.Clone(s.plain[p]) {
		s.forget(st)
	}
}

func (s *set) forget(st *Statement) {
	g := st.Grant
	if _, there := s.all[st.ID]; !there {
		return
	}
	delete(s.all, st.ID)
	s.granting[g.By] = s.granting[g.By].add(st, -1)
	left := slices.DeleteFunc(s.plain[g.Subject], func(o *Statement) bool { return o == st })
	s.plain[g.Subject] = left
	if len(left) == 0 {
		delete(s.plain, g.Subject)
	}
	if !slices.ContainsFunc(left, func(o *Statement) bool { return o.Signer == g.By }) {
		delete(s.signed[g.By], g.Subject)
	}
}

// highest returns the grant with the highest number, or nil.
func highest(list []*Statement) *Statement {
	if len(list) == 0 {
		return nil
	}
	return slices.MaxFunc(list, compareNumbers)
}

// endedBy returns the root's revocation that ends a signer, or nil.
func (s *set) endedBy(st *Statement) *Revocation {
	for _, t := range []target{{peer: st.Grant.Subject}, {line: st.Grant.Line}} {
		for _, r := range s.revs[t] {
			if r.Signer == s.root && !slices.Contains(st.Grant.Despite, r.ID) {
				return r.Revocation
			}
		}
	}
	return nil
}

// revoked returns the revocation that a member's grant is under, or nil.
func (s *set) revoked(g *Grant) *Statement {
	for _, t := range []target{{peer: g.Subject}, {line: g.Line}} {
		for _, r := range s.revs[t] {
			if s.live(r) && (r.Signer == s.root || r.Revocation.forAll || g.Line.By == r.Signer) {
				return r
			}
		}
	}
	return nil
}

// peerRevoked returns the revocation by the root or an issuer for all that names a peer, or nil.
func (s *set) peerRevoked(p peer.ID) *Statement {
	for _, r := range s.revs[target{peer: p}] {
		if s.live(r) && (r.Signer == s.root || r.Revocation.forAll) {
			return r
		}
	}
	return nil
}

// live reports whether a revocation has not been lifted.
func (s *set) live(r *Statement) bool {
	if _, lifted := s.lifted[r.ID]; lifted {
		return false
	}
	return !s.over(r)
}

func (s *set) revokedWords(r *Statement, g *Grant) error {
	by := "the root"
	if r.Signer != s.root {
		by = s.nameOf(r.Signer)
	}
	if r.Revocation.Peer != "" {
		return fmt.Errorf("%w: %s, by %s on %s", ErrRevokedPeer, g.Name, by, when(r.Revocation.Issued))
	}
	return fmt.Errorf("%w: %s of %s, by %s on %s", ErrRevokedLine, g.Line.Serial, g.Name, by, when(r.Revocation.Issued))
}

// nameOf returns what an issuer is called, or its ID.
func (s *set) nameOf(p peer.ID) string {
	if st := highest(s.issuers[p]); st != nil {
		return st.Grant.Name
	}
	return p.String()
}

// label returns what a peer is called, or its ID.
func (s *set) label(p peer.ID) string {
	if st := highest(s.papers(p)); st != nil {
		return st.Grant.Name
	}
	return p.String()
}

// minProtocol returns the highest version that a policy asks for, or "".
func (s *set) minProtocol() (least string) {
	for id, st := range s.all {
		if _, lowered := s.lowered[id]; st.Policy == nil || lowered {
			continue
		}
		if v := st.Policy.MinProtocol; v != "" && (least == "" || semver.Compare("v"+v, "v"+least) > 0) {
			least = v
		}
	}
	return least
}

// subjects returns all peers with a grant that is known, sorted.
func (s *set) subjects() []peer.ID {
	seen := map[peer.ID]struct{}{}
	for p := range s.plain {
		seen[p] = struct{}{}
	}
	for p := range s.issuers {
		seen[p] = struct{}{}
	}
	return slices.Sorted(maps.Keys(seen))
}

// papers returns all grants of a peer.
func (s *set) papers(p peer.ID) []*Statement { return slices.Concat(s.issuers[p], s.plain[p]) }
