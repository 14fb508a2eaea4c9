package trust

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// recover is the owner's take-over with the root key: with all, some or none of the machines
// answering, and the thief going on in the first two of four rounds.
func (w *world) recover() {
	lost := w.stolenIssuers()
	if w.chance(1, 2) && !slices.Contains(lost, "J1") {
		lost = append(lost, "J1") // and the laptop is gone
	}
	for _, p := range lost {
		delete(w.nodes, p)
	}
	clear(w.cut)
	reached := w.answering()
	if w.chance(1, 2) {
		w.setClocks()
	}
	n := w.restore(reached, lost)
	w.setClocks()
	for round := range 4 {
		w.round(n, round)
	}
	for _, p := range workerNames() {
		w.checkRecovered(n, w.nodes[p])
		w.nodes[p].reopen() // what it has kept is whole at its next start
	}
}

func (w *world) answering() (out []*node) {
	if w.chance(1, 12) {
		w.seen["nobody answers"] = true
		return nil
	}
	for _, n := range w.allNodes() {
		if w.chance(oneOf(w, 0, 3, 10), 10) {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		w.seen["nobody answers"] = true
	}
	return out
}

func (w *world) setClocks() {
	for _, n := range w.nodes {
		n.clock()
		n.no, n.off = false, 0
		n.boot()
	}
}

// restore makes the new laptop. The revocations come first, and need nothing that anybody signed.
func (w *world) restore(reached []*node, lost []string) *node {
	n := w.machine("N")
	g := w.issuerGrant("J1")
	g.Subject, g.Name = w.ids["N"], "m-N"
	chain, err := w.signer.Issue(g, w.now)
	if err != nil {
		w.fail("P1 the root cannot sign the new laptop: %v", err)
	}
	st, err := w.root.Fleet().Open(chain[0])
	if err != nil {
		w.fail("P1 %v", err)
	}
	w.paper["N"] = w.note(fact{Statement: st, author: 'o'})
	n.create(chain)
	var ids []peer.ID
	for _, p := range append(slices.Clone(lost), w.stolenMembers()...) {
		ids = append(ids, w.ids[p])
	}
	if w.chance(1, 2) { // the members answer before or after
		for _, k := range reached {
			n.learn(k.held()...)
		}
	}
	if err := n.f.Issuance().Revoke(w.signer, ids, nil); err != nil {
		w.fail("P1 the take-over stopped before it had revoked anything: %v", err)
	}
	n.collect('o')
	w.say("the owner takes over, without %v; %d machines answer", append(lost, w.stolenMembers()...), len(reached))
	for _, k := range reached {
		n.learn(k.held()...)
		w.meet(n, k)
	}
	return n
}

func (w *world) stolenMembers() (out []string) {
	for _, p := range sortedNames(w.stolen) {
		if !slices.Contains(issuerNames(), p) {
			out = append(out, p)
		}
	}
	return out
}

func (w *world) round(n *node, round int) {
	for _, k := range some(w, w.allNodes(), len(w.nodes)) {
		if k == n {
			continue
		}
		w.contact(n, k)
		for _, i := range []string{"J1", "J2"} {
			if j := w.nodes[i]; j != nil && round < 2 && w.chance(1, 2) {
				w.meet(j, k)
				s := j.signs()
				for _, m := range append(thiefNames(), "e") {
					j.renewBy(s, m)
				}
			}
		}
		if round < 2 && w.chance(3, 10) {
			k.learn(some(w, w.pool, 4)...) // the thief goes on
		}
		if round == 0 {
			w.check(k)
		}
	}
	w.check(n)
}

// contact is what the new laptop does with a machine: exchange, then what is signed anew by itself,
// then what the person decides.
func (w *world) contact(n, k *node) {
	w.meet(n, k)
	w.waive(n, k)
	w.liftWrong(n)
	if slices.Contains(workerNames(), k.name) && w.due(n, k) && !n.renew(k.name) && !w.thrownOut(n, k.id) {
		w.person[k.name] = true
		site := sortedNames(w.labels[k.name])[0]
		_, err := n.f.Issuance().Decide(w.signer, Decision{Grant: Grant{Subject: k.id, Role: RoleWorker, Name: "m-" + k.name, Verbs: []string{}, Labels: map[string]string{"site": site}}})
		n.collect('o')
		w.say("the root decides about %s", k.name)
		if err != nil {
			w.fail("P7 the root cannot sign %s anew: %v", k.name, err)
		}
	}
	if w.chance(1, 4) { // all members are looked at, also who is none
		s := n.signs()
		for _, m := range append(thiefNames(), "e") {
			n.renewBy(s, m)
		}
	}
	w.meet(n, k)
}

// due reports whether a machine waits to be signed anew.
func (w *world) due(n, k *node) bool {
	m, known := n.f.Known(k.id)
	return !known || m.Err != nil || m.st == nil || m.st.Signer != n.id && m.st.Signer != w.rootID
}

// waive: a file was lost, and nobody has what it held. The root lets the machine go on without.
func (w *world) waive(n, k *node) {
	var ids []ID
	for _, id := range k.f.Missing() {
		if !slices.ContainsFunc(w.allNodes(), func(o *node) bool { return o.f.memory.set.all[id] != nil }) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	if err := n.f.Issuance().Waive(w.signer, k.id, ids); err != nil {
		w.fail("P7 waive: %v", err)
	}
	w.seen["waiver"] = true
	n.collect('o')
	w.say("the root waives %d statements for %s", len(ids), k.name)
	for _, id := range ids {
		k.waived[id] = true
	}
}

// liftWrong: the owner lifts what the thief has revoked of the workers.
func (w *world) liftWrong(n *node) {
	workers := map[peer.ID]bool{}
	for _, p := range workerNames() {
		workers[w.ids[p]] = true
	}
	lines := map[Line]bool{}
	for _, g := range n.held() {
		if g.Grant != nil && workers[g.Grant.Subject] && g.author != 't' {
			lines[g.Grant.Line] = true
		}
	}
	var ids []ID
	for _, r := range n.held() {
		if r.Revocation == nil || r.author != 't' || !workers[r.Revocation.Peer] && (r.Revocation.Line == nil || !lines[*r.Revocation.Line]) {
			continue
		}
		if !evidence(n.held()).lifted(r) {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	err := n.f.Issuance().signing(w.signer, func(have draft) ([]*Statement, error) {
		st, err := w.signer.lift(Lift{IDs: ids}, have.now)
		return []*Statement{st}, err
	})
	if err != nil {
		w.fail("P7 lift: %v", err)
	}
	n.collect('o')
	w.say("the root lifts what the thief has revoked")
}

// thrownOut reports whether the owner itself has revoked a peer.
func (w *world) thrownOut(n *node, p peer.ID) bool {
	lifts := evidence(n.list)
	return slices.ContainsFunc(n.list, func(r *fact) bool {
		return r.Revocation != nil && r.author == 'o' && r.Revocation.Peer == p && !lifts.liftedByName(r)
	})
}

// liftedByName reports whether a lift names the revocation.
func (e evidence) liftedByName(r *fact) bool {
	return slices.ContainsFunc(e, func(l *fact) bool { return l.Lift != nil && l.Lift.Machine == "" && slices.Contains(l.Lift.IDs, r.ID) })
}

// checkRecovered holds a worker to what the take-over promises.
func (w *world) checkRecovered(n, k *node) {
	w.check(k)
	if w.stolen[k.name] {
		return
	}
	obeys := k.f.May(n.id, verbDo)
	if obeys != nil && !w.thrownOut(n, k.id) {
		w.fail("P7 %s is lost to its owner: %v", k.name, obeys)
	}
	if obeys == nil && w.revokedByOwner(n, k) {
		w.fail("P3 %s was revoked and still serves", k.name)
	}
	for _, p := range thiefNames() {
		if k.f.May(w.ids[p], verbDo) == nil && !w.thiefPower(k, w.now) {
			w.fail("P2 %s outlived its maker", p)
		}
	}
	w.checkRevocationsStand(k)
	w.checkNarrowed(k)
	w.checkLabel(n, k)
}

// revokedByOwner reports whether the owner has revoked a worker, and nothing has ended that. What
// an issuer that is not for all has revoked is only in its own lines: it keeps a machine from being
// signed anew by itself where it is known, and where it comes too late for that, the machine waits to
// be confirmed.
func (w *world) revokedByOwner(n, k *node) bool {
	lifts := evidence(w.pool)
	m, _ := n.f.Known(k.id)
	for _, r := range n.list {
		if r.Revocation == nil || r.author != 'o' || r.Revocation.Peer != k.id || lifts.liftedByName(r) || lifts.closes(r) {
			continue
		}
		if r.Signer != w.ids["V"] || !w.person[k.name] && !n.tooLate(m, r) {
			return true
		}
	}
	return false
}

// tooLate reports whether a machine heard something of a member after it had signed that anew by itself,
// so that the member waits for a person to confirm it.
func (n *node) tooLate(m Member, news *fact) bool {
	at := func(id ID) int { return slices.IndexFunc(n.list, func(st *fact) bool { return st.ID == id }) }
	return m.Unconfirmed && at(m.st.ID) >= 0 && at(m.st.ID) < at(news.ID)
}

// closes reports whether the book of a revocation's signer was closed.
func (e evidence) closes(r *fact) bool {
	return slices.ContainsFunc(e, func(l *fact) bool { return l.Lift != nil && l.Lift.Signer == r.Signer })
}

// checkRevocationsStand: what the owner has revoked, and a machine that is left has heard of, no
// restore ends.
func (w *world) checkRevocationsStand(k *node) {
	all := evidence(w.pool)
	for _, r := range w.pool {
		if r.Revocation == nil || r.author != 'o' || r.Revocation.Peer == "" || slices.Contains(issuerNames(), w.names[r.Revocation.Peer]) {
			continue
		}
		heard := slices.ContainsFunc(w.allNodes(), func(o *node) bool { return o.ever[r.ID] != nil })
		waived := slices.ContainsFunc(w.allNodes(), func(o *node) bool { return o.waived[r.ID] })
		if !heard || waived || all.lifted(r) {
			continue
		}
		if k.f.May(r.Revocation.Peer, verbDo) == nil {
			w.fail("P3 the revocation of %s has ended", w.who(r.Revocation.Peer))
		}
	}
}

// checkNarrowed: what was taken from a member does not come back by itself.
func (w *world) checkNarrowed(k *node) {
	waived := slices.ContainsFunc(w.allNodes(), func(o *node) bool { return len(o.waived) > 0 })
	lifts := slices.ContainsFunc(w.pool, func(l *fact) bool { return l.Lift != nil && l.Lift.Machine == "" })
	for _, p := range sortedNames(w.wrote) {
		m, known := k.f.Known(w.ids[p])
		if !known || m.st == nil || waived || lifts || !w.wrote[p][m.Grant.Line] || k.f.May(w.ids[p], verbDo) != nil {
			continue
		}
		if w.someoneHeard(m.Grant, w.book[m.st.ID].seq) {
			w.fail("P3 %s has again what was taken from it", p)
		}
	}
}

// someoneHeard reports whether a machine that is left has heard that a grant was narrowed: of the
// revocation of its line, and where that was never signed, of the new grant.
func (w *world) someoneHeard(g *Grant, since int) bool {
	anybodys := func(r *fact) bool {
		return r.Revocation != nil && r.Revocation.Line != nil && *r.Revocation.Line == g.Line
	}
	ofLine := func(r *fact) bool { return r.author == 'o' && r.seq > since && anybodys(r) }
	ofGrant := func(r *fact) bool {
		return r.author == 'o' && r.seq > since && r.Grant != nil && r.Grant.Subject == g.Subject && slices.Equal(r.Grant.Verbs, []string{verbRead})
	}
	which := ofLine
	if !slices.ContainsFunc(w.pool, anybodys) {
		which = ofGrant
	}
	return slices.ContainsFunc(w.allNodes(), func(o *node) bool { return slices.ContainsFunc(o.list, which) })
}

// checkLabel: no label of a thief stays on a machine of which an honest paper is known, unless that came
// when the machine was signed anew already, and it waits to be confirmed: a machine that has lost its
// files has the paper of a thief alone.
func (w *world) checkLabel(n, k *node) {
	m, known := n.f.Known(k.id)
	if !known || m.Err != nil || w.joined[k.name] == "" || w.labels[k.name][m.Grant.Labels["site"]] {
		return
	}
	if slices.ContainsFunc(n.held(), func(g *fact) bool {
		return g.Grant != nil && g.Grant.Subject == k.id && g.author == 'o' && !n.tooLate(m, g)
	}) {
		w.fail("P2/P4 a label of the thief is on %s", k.name)
	}
}
