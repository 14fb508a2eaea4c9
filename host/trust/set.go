package trust

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/mod/semver"
)

// Bounds on what a node keeps. Revocations are never forgotten, so a thief's must be few: each
// needs evidence, and of the lines that a thief makes up itself only so many count.
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
)

// set is a grow-only set of statements, and what follows from it. A verdict depends on the
// statements and on the time that it is asked for, and on nothing else: not on their order of
// arrival, not on dates in them, not on what was decided before. The caller guards it.
type set struct {
	root peer.ID
	self peer.ID

	all     map[ID]*Statement
	plain   map[peer.ID][]*Statement // grants of members, by subject
	issuers map[peer.ID][]*Statement // grants of issuers, by subject
	revs    map[target][]*Statement
	lifted  map[ID]struct{}
	closed  map[peer.ID]*book // of signers whose books are closed
	waived  map[ID]struct{}   // statements that this node need not have
	lowered map[ID]struct{}
	owned   map[word]int // revocations on the word of an issuer, as far as they count
	signed  map[peer.ID]map[peer.ID]struct{}
	seen    map[peer.ID]struct{} // members that have shown their grants themselves
}

// book is what a signer has revoked, once the root has closed it.
type book struct {
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
		lifted: map[ID]struct{}{}, closed: map[peer.ID]*book{}, seen: map[peer.ID]struct{}{}, waived: map[ID]struct{}{}, lowered: map[ID]struct{}{},
		owned: map[word]int{}, signed: map[peer.ID]map[peer.ID]struct{}{},
	}
}

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
	return true, nil
}

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

// word is who revokes, and who has signed the evidence: a thief who has both keys makes up as much as
// it likes. What the root has given nobody makes up.
type word struct{ by, shown peer.ID }

func (r *Revocation) word() word {
	if r.own {
		return word{r.By, r.By}
	}
	return word{r.By, r.shown}
}

// count counts a revocation on the word of an issuer.
func (s *set) count(st *Statement) {
	if w := st.Revocation.word(); w.shown != "" && s.live(st) {
		s.owned[w]++
	}
}

// recount counts anew after a lift.
func (s *set) recount() {
	clear(s.owned)
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
			b = &book{lines: map[string]struct{}{}, standing: map[ID]struct{}{}}
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

// addGrant takes a member's grant. Of one signer the newest few are kept for each subject; those
// of other signers stay beside them, since they count again when that signer ends. Of a key that the
// root has never named as an issuer nothing is kept: anybody has such keys, without number.
func (s *set) addGrant(st *Statement, now time.Time, kept bool) (bool, error) {
	g := st.Grant
	if !kept && g.By != s.root && len(s.issuers[g.By]) == 0 {
		return false, noSigner(g.By)
	}
	if err := s.roomFor(g, now); err != nil {
		return false, err
	}
	s.all[st.ID] = st
	s.plain[g.Subject] = append(s.plain[g.Subject], st)
	if s.signed[g.By] == nil {
		s.signed[g.By] = map[peer.ID]struct{}{}
	}
	s.signed[g.By][g.Subject] = struct{}{}
	gone := s.surplus(g)
	return gone != st, s.dropped(gone)
}

// dropped forgets a grant, if there is one to forget.
func (s *set) dropped(st *Statement) error {
	if st != nil {
		s.forget(st)
	}
	return nil
}

// surplus returns the grant that has to go when a signer has signed too many for one subject. The
// highest that counts stays, whatever the thief of a key signs in a line of it that has ended; and of
// those that tell the same name and labels one stays, so that it is known when others differ.
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
	return slices.MinFunc(slices.DeleteFunc(slices.Clone(same), func(st *Statement) bool { return st == top }), func(a, b *Statement) int {
		return cmp.Or(cmp.Compare(rank(repeats(b, same)), rank(repeats(a, same))), cmp.Compare(rank(ended(b)), rank(ended(a))), compareNumbers(a, b))
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

// compareNumbers orders grants by number, and those of the same number by ID.
func compareNumbers(a, b *Statement) int {
	return cmp.Or(cmp.Compare(a.Grant.N, b.Grant.N), a.ID.Compare(b.ID))
}

// roomFor returns why a grant of a subject that is not known yet cannot be kept.
func (s *set) roomFor(g *Grant, now time.Time) error {
	if len(s.plain[g.Subject]) > 0 || g.Subject == s.self || g.By == s.root {
		return nil
	}
	i, err := s.issuer(g.By, now)
	switch {
	case err != nil && len(s.signed[g.By]) >= maxOrphans && !s.roomForOrphan(g, now):
		return fmt.Errorf("%w: %d members with grants by %s, which has ended", ErrFull, maxOrphans, g.By)
	case err == nil && !i.Grant.MayIssue.ForAll && len(s.signed[g.By]) >= maxDelegates:
		return fmt.Errorf("%w: %d members with grants by %s", ErrFull, maxDelegates, g.By)
	case len(s.plain) >= maxSubjects && !s.makeRoom(g, now):
		return fmt.Errorf("%w: %d members are known", ErrFull, maxSubjects)
	}
	return nil
}

// roomForOrphan reports whether there is room for another member that only an ended signer speaks
// for. Those that were signed anew do not count. One that was revoked makes room; and for a machine that
// shows its grant itself any other does, one that was only told of before one that has shown itself: a
// real one comes again, and is there when it is signed anew.
func (s *set) roomForOrphan(g *Grant, now time.Time) bool {
	_, shows := s.seen[g.Subject]
	orphans, gone, least := 0, peer.ID(""), 0
	for p := range s.signed[g.By] {
		if _, err := s.member(p, now); err == nil || p == s.self {
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

// makeRoom forgets the grants of a peer that is no member any more; or, for a machine that shows its
// grant itself, of one that no person has confirmed.
func (s *set) makeRoom(g *Grant, now time.Time) bool {
	_, shows := s.seen[g.Subject]
	gone := peer.ID("")
	for p := range s.plain {
		if p == s.self {
			continue
		}
		c, err := s.member(p, now)
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

// forgetPeer drops the grants of a member.
func (s *set) forgetPeer(p peer.ID) {
	for _, st := range slices.Clone(s.plain[p]) {
		s.forget(st)
	}
}

func (s *set) forget(st *Statement) {
	g := st.Grant
	delete(s.all, st.ID)
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

// issuer returns the grant by which a peer signs for others now. Of all that it ever had only
// the one with the highest number counts: a signer has one line at a time. A lift brings no
// signer back; a new grant that stands in spite of the revocation does.
func (s *set) issuer(p peer.ID, now time.Time) (*Statement, error) {
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
	return st, st.Grant.expired(now)
}

// noSigner is a peer that the root lets sign nothing, as far as is known. Most members are such, so
// the words are made when somebody reads them.
type noSigner peer.ID

func (p noSigner) Error() string {
	return fmt.Sprintf("%v: no grant is known by which the root lets %s sign", ErrSignerEnded, peer.ID(p))
}

func (p noSigner) Unwrap() error { return ErrSignerEnded }

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

// counts returns why a member's grant gives nothing, whatever else is known of the member: its
// signer has ended, or may not sign this. The signer's own grant is returned; nil for the root.
func (s *set) counts(g *Grant, now time.Time) (*Statement, error) {
	if g.By == s.root {
		return nil, nil
	}
	i, err := s.issuer(g.By, now)
	switch {
	case err != nil:
		return i, fmt.Errorf("%w: the grant of %s: %w", ErrSignerEnded, g.Name, err)
	case i.Grant.Line.Serial != g.Paper:
		return i, fmt.Errorf("%w: %s signed the grant of %s under a line that has ended", ErrSignerEnded, i.Grant.Name, g.Name)
	}
	return i, i.Grant.stands(g)
}

// stands returns why the issuer who holds i may not have signed the grant g.
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
func (s *set) pick(p peer.ID, now time.Time) (best, by *Statement) {
	for _, st := range s.plain[p] {
		i, err := s.counts(st.Grant, now)
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

// outcast returns the revocation that a peer is under whatever it holds, or nil. Issuers are ended
// by the root alone, and come back in spite of what it revoked: see issuer.
func (s *set) outcast(p peer.ID, now time.Time) *Statement {
	if _, ended := s.issuer(p, now); ended == nil {
		return nil
	}
	return s.peerRevoked(p)
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

// Credential is what was found of a member.
type Credential struct {
	Grant *Grant
	// Issuer is the grant of the issuer who signed; nil when the root did.
	Issuer *Grant
	// Unconfirmed says that a machine has signed the grant by itself on the word of a signer that
	// has ended. The member is left out of groups until a person has looked.
	Unconfirmed bool

	st, by  *Statement
	sponsor *Credential // of the one whose ticket brought the member in; nil where there is none
}

func credential(st, by *Statement) *Credential {
	c := &Credential{Grant: st.Grant, st: st, by: by}
	if by != nil {
		c.Issuer = by.Grant
	}
	return c
}

// statements are those that the credential was found in.
func (c *Credential) statements() (out []*Statement) {
	if c.sponsor != nil {
		out = c.sponsor.statements()
	}
	if c.by != nil {
		out = append(out, c.by)
	}
	return append(out, c.st)
}

// chain returns the signed form of the credential.
func (c *Credential) chain() (out Chain) {
	for _, st := range c.statements() {
		out = append(out, st.Data)
	}
	return out
}

// member returns what a peer holds now, or why it holds nothing: then with the grant that would
// come nearest, or nil where none is known.
func (s *set) member(p peer.ID, now time.Time) (*Credential, error) {
	return s.judge(p, now, true)
}

func (s *set) judge(p peer.ID, now time.Time, sponsored bool) (*Credential, error) {
	i, ended := s.issuer(p, now)
	if ended == nil {
		return credential(i, nil), nil
	}
	st, by := s.pick(p, now)
	if st == nil {
		return s.nearest(p, now, i, ended)
	}
	c := credential(st, by)
	if r := s.revoked(st.Grant); r != nil {
		return c, s.revokedWords(r, st.Grant)
	}
	if err := st.Grant.expired(now); err != nil {
		return c, err
	}
	c.Unconfirmed = s.doubtful(st.Grant, now)
	return c, s.bySponsor(c, now, sponsored)
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

// nearest explains why no grant of a peer counts.
func (s *set) nearest(p peer.ID, now time.Time, issuer *Statement, ended error) (*Credential, error) {
	if issuer != nil {
		return credential(issuer, nil), ended
	}
	st := highest(s.plain[p])
	if st == nil {
		return nil, ErrStranger
	}
	by, err := s.counts(st.Grant, now)
	if by == nil {
		return &Credential{Grant: st.Grant, st: st}, err
	}
	c := credential(st, by)
	if r := s.revoked(st.Grant); r != nil {
		return c, s.revokedWords(r, st.Grant)
	}
	return c, err
}

// doubtful reports whether a grant stands on the word of somebody who has ended: an issuer, or the
// member whose ticket brought the subject in.
func (s *set) doubtful(g *Grant, now time.Time) bool {
	if g.Sponsor != "" && !g.commands() && s.disowned(g.Sponsor, now) {
		return true
	}
	return slices.ContainsFunc(g.Origins, func(o Origin) bool {
		i, err := s.issuer(o.By, now)
		return err != nil || i.Grant.Line.Serial != o.Paper
	})
}

// disowned reports whether a member was thrown out, or made by one who was, or is not known at all. One
// whose time is over, or its signer's, was a good member.
func (s *set) disowned(p peer.ID, now time.Time) bool {
	if s.peerRevoked(p) != nil {
		return true
	}
	_, err := s.judge(p, now, false)
	over := errors.Is(err, ErrExpired) && !errors.Is(err, ErrRevokedPeer) && !errors.Is(err, ErrRevokedLine)
	return err != nil && !over
}

// bySponsor returns why the rights that a grant gives are not held by the one whose ticket brought
// the member in. A sponsor has no sponsor itself.
func (s *set) bySponsor(c *Credential, now time.Time, sponsored bool) error {
	g := c.Grant
	if g.Sponsor == "" || !g.commands() {
		return nil
	}
	if !sponsored {
		return fmt.Errorf("%w: %s was itself brought in by a ticket of another", ErrSponsorEnded, g.Name)
	}
	sponsor, err := s.judge(g.Sponsor, now, false)
	c.sponsor = sponsor
	if err == nil {
		err = sponsor.Grant.mayBring(g, now)
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

// subjects returns all peers of whom a grant is known, sorted.
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
