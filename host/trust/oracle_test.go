package trust

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The oracle stands apart from the rules: it knows who truly signed what, and all that each
// machine ever heard. It asks the package what it decides, and never how.

// facts that are of one kind.
type evidence []*fact

// lifted reports whether the root has ended a revocation, as far as these know.
func (e evidence) lifted(r *fact) bool {
	closed, stands := false, false
	for _, l := range e {
		switch {
		case l.Lift == nil || l.Lift.Machine != "":
		case slices.Contains(l.Lift.IDs, r.ID):
			return true
		case l.Lift.Signer == r.Signer:
			closed, stands = true, stands || slices.Contains(l.Lift.Standing, r.ID)
		}
	}
	return closed && !stands
}

// takenBy returns a revocation by one who was entitled to it that a grant is under.
func (e evidence) taken(c *cast, g *fact) bool {
	for _, r := range e {
		if r.Revocation == nil || !names(r.Revocation, g.Grant) {
			continue
		}
		if g.issuer() {
			if r.Signer == c.rootID && !slices.Contains(g.Grant.Despite, r.ID) {
				return true
			}
			continue
		}
		entitled := r.Signer == c.rootID || r.under != nil && r.under.MayIssue.ForAll || g.Grant.Line.By == r.Signer
		if entitled && !e.lifted(r) {
			return true
		}
	}
	return false
}

// names reports whether a revocation is of a grant's peer or line.
func names(r *Revocation, g *Grant) bool {
	if r.Line != nil {
		return *r.Line == g.Line
	}
	return r.Peer == g.Subject
}

// current reports whether no later grant of an issuer is known in another line.
func (e evidence) current(q *fact) bool {
	return !slices.ContainsFunc(e, func(o *fact) bool {
		return o.issuer() && o.Grant.Subject == q.Grant.Subject && o.Grant.Line != q.Grant.Line && byNumber(o, q) > 0
	})
}

func byNumber(a, b *fact) int {
	return cmp.Or(cmp.Compare(a.Grant.N, b.Grant.N), bytes.Compare(a.ID[:], b.ID[:]))
}

// signs reports whether an issuer's grant lets it sign at a time.
func (e evidence) signs(c *cast, q *fact, now time.Time) bool {
	return q.issuer() && now.UnixMilli() < q.Grant.Expires && !e.taken(c, q) && e.current(q)
}

// stands reports whether the signer of a grant signs.
func (e evidence) stands(c *cast, g *fact, now time.Time) bool {
	if g.Signer == c.rootID {
		return true
	}
	return slices.ContainsFunc(e, func(q *fact) bool {
		return q.Grant != nil && q.Grant.Subject == g.Signer && q.Grant.Line.Serial == g.Grant.Paper && e.signs(c, q, now)
	})
}

// just reports whether some grant of a peer gives it a verb on a machine with a label.
func (e evidence) just(c *cast, now time.Time, p peer.ID, verb, site string, deep bool) bool {
	return slices.ContainsFunc(e, func(g *fact) bool {
		if g.Grant == nil || g.Grant.Subject != p || !slices.Contains(g.Grant.Verbs, verb) || !reaches(g.Grant, site) {
			return false
		}
		if now.UnixMilli() >= g.Grant.Expires || e.taken(c, g) || !e.stands(c, g, now) {
			return false
		}
		s := g.Grant.Sponsor
		return s == "" || deep && e.just(c, now, s, VerbAdmit, site, false) || e.just(c, now, s, VerbAdmit, "", false)
	})
}

func reaches(g *Grant, site string) bool { return g.On == "" || g.On == "site="+site }

// thiefPower reports whether a made-up peer may hold a right on a machine by a stolen key, as far
// as the machine can know. Where nobody has told of the end of a key, it goes on to count.
func (w *world) thiefPower(n *node, now time.Time) bool {
	e := evidence(n.list)
	for _, q := range e {
		if !q.issuer() || !e.signs(w.cast, q, now) {
			continue
		}
		p := w.names[q.Grant.Subject]
		if w.bad[q.Grant.Line] || w.stolen[p] && q.Grant.Line == w.paper[p].Grant.Line {
			return true
		}
	}
	for _, m := range memberNames() {
		if w.stolen[m] && e.just(w.cast, now, w.ids[m], VerbAdmit, "", true) {
			return true
		}
	}
	return false
}

// check holds a machine to the promises.
func (w *world) check(n *node) {
	if w.nodes[n.name] != n {
		return
	}
	clock := n.clock()
	now := later(clock, built())
	w.checkMemory(n)
	e := w.notWaived(n)
	if slices.Contains(workerNames(), n.name) {
		w.checkCommands(n, e, now)
		w.checkIssuers(n, e, now)
		w.checkNothingTaken(n, clock, now)
	}
	w.checkDelegates(n)
	w.checkUnconfirmed(n, e, now)
	if slices.Contains(issuerNames(), n.name) {
		w.checkSending(n, e, now)
	}
}

// notWaived is all that a machine ever heard, but for what the root has said it need not have.
func (w *world) notWaived(n *node) (e evidence) {
	for _, st := range n.list {
		if _, have := n.f.memory.set.all[st.ID]; have || !n.waived[st.ID] {
			e = append(e, st)
		}
	}
	return e
}

// checkMemory: no loss of one file makes a machine forget a revocation while it decides.
func (w *world) checkMemory(n *node) {
	for _, st := range n.list {
		if _, have := n.f.memory.set.all[st.ID]; have || !st.kept() || n.waived[st.ID] {
			continue
		}
		if n.f.Whole() == nil {
			w.fail("P3 %s has forgotten %s, and decides", n.name, w.tell(st))
		}
	}
}

func (w *world) checkCommands(n *node, e evidence, now time.Time) {
	site := n.f.Self().Grant.Labels["site"]
	for _, p := range slices.Concat(memberNames(), thiefNames(), []string{"J1", "J2", "K"}) {
		err := n.f.May(w.ids[p], verbDo)
		if err != nil {
			continue
		}
		w.seen["commands"] = true
		if n.f.Whole() != nil {
			w.fail("P3 %s obeys %s, and is not whole", n.name, p)
		}
		if slices.Contains(thiefNames(), p) {
			w.seen["thief commands"] = true
			if !w.thiefPower(n, now) {
				w.fail("P2/P5 %s commands %s by no living key", p, n.name)
			}
		}
		if !e.just(w.cast, now, w.ids[p], verbDo, site, true) {
			w.fail("P3/P5 %s commands %s without a paper that stands", p, n.name)
		}
	}
}

// checkIssuers: only the root touches issuers. Where anybody is obeyed, an issuer whom the root
// lets sign is, too.
func (w *world) checkIssuers(n *node, e evidence, now time.Time) {
	any := slices.ContainsFunc(slices.Collect(keysOf(w.ids)), func(p peer.ID) bool { return n.f.May(p, verbDo) == nil })
	if !any || now.Before(n.most) {
		return
	}
	for _, p := range []string{"J1", "J2"} {
		signs := slices.ContainsFunc(e, func(q *fact) bool {
			return q.Grant != nil && q.Grant.Subject == w.ids[p] && byNumberHighest(e, q) && e.signs(w.cast, q, now)
		})
		if err := n.f.May(w.ids[p], verbDo); signs && err != nil {
			w.fail("P4 somebody other than the root has taken %s from the issuer %s: %v", n.name, p, err)
		}
	}
}

// byNumberHighest reports whether no later grant of the same issuer is known.
func byNumberHighest(e evidence, q *fact) bool {
	return !slices.ContainsFunc(e, func(o *fact) bool {
		return o.issuer() && o.Grant.Subject == q.Grant.Subject && byNumber(o, q) > 0
	})
}

func keysOf(m map[string]peer.ID) func(func(peer.ID) bool) {
	return func(yield func(peer.ID) bool) {
		for _, name := range sortedNames(m) {
			if !yield(m[name]) {
				return
			}
		}
	}
}

// checkNothingTaken: who holds less than a key that is for all takes nothing from the others.
func (w *world) checkNothingTaken(n *node, clock, now time.Time) {
	if w.once["J1"] || w.once["J2"] || n.f.Whole() != nil || clock.Before(later(built(), n.most)) {
		return
	}
	if w.once["V"] && n.name == "w3" || w.stolen[n.name] {
		return
	}
	var e evidence
	for _, st := range n.held() {
		if st.author != 't' {
			e = append(e, st)
		}
	}
	if !w.allGood(e, w.best(e, w.ids[n.name], now), now, "") {
		return
	}
	for _, p := range []string{"J1", "J2", "c1", "c2", "h"} {
		if !w.allGood(e, w.best(e, w.ids[p], now), now, verbDo) {
			continue
		}
		if err := n.f.May(w.ids[p], verbDo); err != nil {
			w.fail("P4/P5/P7 %s has lost %s: %v", p, n.name, err)
		}
	}
}

// allGood reports whether there are grants, and each counts and has the verb everywhere.
func (w *world) allGood(e evidence, list []*fact, now time.Time, verb string) bool {
	for _, g := range list {
		if now.UnixMilli() >= g.Grant.Expires || e.taken(w.cast, g) {
			return false
		}
		if verb != "" && (!slices.Contains(g.Grant.Verbs, verb) || g.Grant.On != "") {
			return false
		}
	}
	return len(list) > 0
}

// best returns the grants of a peer that come first.
func (w *world) best(e evidence, p peer.ID, now time.Time) (out []*fact) {
	var paper *fact
	for _, g := range e {
		switch {
		case g.Grant == nil || g.Grant.Subject != p || g.Grant.Sponsor != "":
		case g.issuer():
			if e.stands(w.cast, g, now) && (paper == nil || byNumber(g, paper) > 0) {
				paper = g
			}
		case e.stands(w.cast, g, now):
			out = append(out, g)
		}
	}
	if paper != nil {
		return []*fact{paper}
	}
	rank := func(g *fact) int64 {
		if by := w.paper[w.names[g.Signer]]; by != nil && !by.Grant.MayIssue.ForAll {
			return g.Grant.N
		}
		return g.Grant.N + maxDelegated
	}
	var top int64
	for _, g := range out {
		top = max(top, rank(g))
	}
	return slices.DeleteFunc(out, func(g *fact) bool { return rank(g) < top })
}

// checkDelegates: who is not for all signs only for who has asked it.
func (w *world) checkDelegates(n *node) {
	for _, p := range workerNames() {
		m, known := n.f.Known(w.ids[p])
		if !known || m.Err != nil || m.st == nil || w.stolen[p] {
			continue
		}
		st := w.book[m.st.ID]
		by := w.names[st.Signer]
		if st.author == 't' && w.paper[by] != nil && !w.paper[by].Grant.MayIssue.ForAll && w.joined[p] != by {
			w.fail("P4 %s signed for %s, who never asked it", by, p)
		}
	}
}

// checkUnconfirmed: what a machine has signed by itself on the word of an ended key is told apart.
func (w *world) checkUnconfirmed(n *node, e evidence, now time.Time) {
	for _, p := range thiefNames() {
		m, known := n.f.Known(w.ids[p])
		if !known || m.Err != nil || m.st == nil || w.book[m.st.ID].author != 'a' || m.Unconfirmed {
			continue
		}
		w.seen["made-up member signed anew"] = true
		if m.Grant.Sponsor == "" && !w.thiefPower(n, now) {
			w.fail("P2 %s takes the made-up %s for confirmed", n.name, p)
		}
	}
}

// checkSending: a machine sends nothing to whom it has heard to be revoked.
func (w *world) checkSending(n *node, e evidence, now time.Time) {
	for _, p := range workerNames() {
		stands := slices.ContainsFunc(e, func(g *fact) bool {
			return g.Grant != nil && g.Grant.Subject == w.ids[p] && !e.taken(w.cast, g) && e.stands(w.cast, g, now)
		})
		known := slices.ContainsFunc(e, func(g *fact) bool { return g.Grant != nil && g.Grant.Subject == w.ids[p] })
		if known && !stands && n.f.MaySend(w.ids[p], true) == nil {
			w.fail("P3 %s sends to %s, whom it has revoked", n.name, p)
		}
	}
}
