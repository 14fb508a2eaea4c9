package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/statements"
)

// step is one kind of thing that happens; it returns the machines to look at.
type step struct {
	name   string
	weight int
	do     func(*world) []*node
}

func steps() []step {
	return []step{
		{"sync", 14, (*world).stepSync}, {"tick", 6, (*world).stepTick}, {"clock", 3, (*world).stepClock}, {"lose", 4, (*world).stepLose},
		{"renew", 6, (*world).stepRenew}, {"relabel", 2, (*world).stepRelabel}, {"narrow", 2, (*world).stepNarrow}, {"revoke", 5, (*world).stepRevoke},
		{"lift", 2, (*world).stepLift}, {"reinstate", 4, (*world).stepReinstate}, {"hours", 2, (*world).stepHours}, {"steal", 5, (*world).stepSteal},
		{"forge", 16, (*world).stepForge}, {"forge a revocation", 5, (*world).stepForgeRevocation}, {"ticket", 3, (*world).stepTicket},
		{"end", 4, (*world).stepEnd}, {"close", 1, (*world).stepClose}, {"extend", 1, (*world).stepExtend}, {"malformed", 1, (*world).stepMalformed},
		{"cut off", 1, (*world).stepCut}, {"restart", 1, (*world).stepRestart},
	}
}

// mix gives each history weights of its own.
func (w *world) mix(all []step) (weights []int) {
	for i, s := range all {
		weights = append(weights, s.weight*oneOf(w, 0, 1, 1, 4))
		if i == 0 {
			weights[0] += 5
		}
	}
	return weights
}

func (w *world) anyStep(all []step, weights []int) step {
	sum := 0
	for _, n := range weights {
		sum += n
	}
	at := w.draw(sum)
	for i, n := range weights {
		if at -= n; at < 0 {
			return all[i]
		}
	}
	return all[0]
}

func (w *world) anyNode() *node { return w.nodes[oneOf(w, sortedNames(w.nodes)...)] }

func (w *world) allNodes() (out []*node) {
	for _, name := range sortedNames(w.nodes) {
		out = append(out, w.nodes[name])
	}
	return out
}

func (w *world) anyIssuer() *node { return w.nodes[oneOf(w, "J1", "J2")] }

func (w *world) stepSync() []*node {
	a, b := w.anyNode(), w.anyNode()
	w.say("%s meets %s", a.name, b.name)
	w.meet(a, b)
	return []*node{a, b}
}

func (w *world) stepTick() []*node {
	for _, n := range w.nodes {
		n.clock()
	}
	w.now = w.now.Add(time.Duration(oneOf(w, 1, 1, 5, 24, 200, 1000, 2160, 6000)) * time.Hour)
	w.say("time goes on")
	return w.allNodes()
}

// stepClock sets a clock. Where time cannot be told before and after, the machine starts anew:
// while it runs it counts by a clock that nobody can set.
func (w *world) stepClock() []*node {
	n := w.anyNode()
	n.clock()
	n.no, n.off = false, oneOf(w, 0, 0, 0, -2*time.Hour, 2*time.Hour, -500*time.Hour, -year, 2*year)
	if w.chance(1, 8) {
		n.no = true
	}
	n.boot()
	w.say("the clock of %s shows %s", n.name, n.clock().Format(time.DateTime))
	if n.clock().Before(built()) {
		n.reopen()
	}
	return []*node{n}
}

func (w *world) stepLose() []*node {
	n := w.anyNode()
	file := oneOf(w, statements.StatementsFile, statements.StatementsFile, statements.IndexFile, statements.IndexFile, statements.FloorFile, membershipFile)
	how := oneOf(w, "deleted", "emptied", "NULs", "half", "cut at a line", "flipped bits")
	w.say("%s: the file %s is damaged (%s), and it starts anew", n.name, file, how)
	n.damage(file, how)
	return []*node{n}
}

func (w *world) stepRestart() []*node {
	n := w.anyNode()
	w.say("%s starts anew", n.name)
	n.reopen()
	return []*node{n}
}

func (w *world) stepCut() []*node {
	n := w.anyNode()
	w.cut[n.name] = !w.cut[n.name]
	w.say("%s is cut off: %v", n.name, w.cut[n.name])
	return nil
}

// renew is what a laptop does by itself at contact.
func (n *node) renew(p string) bool { return n.renewBy(n.signs(), p) }

func (n *node) renewBy(s *Signer, p string) bool {
	if s == nil {
		return false
	}
	_, err := n.f.Issuance().Renew(s, n.w.ids[p])
	news := n.collect('a')
	if len(news) > 0 {
		n.w.say("%s signs %s anew by itself: %s", n.name, p, n.w.tell(news[0]))
	}
	return err == nil
}

func (w *world) stepRenew() []*node {
	n, p := w.nodes[oneOf(w, "J1", "J2", "V")], oneOf(w, slices.Concat(workerNames(), memberNames(), thiefNames())...)
	out := []*node{n}
	if m := w.nodes[p]; m != nil {
		w.meet(n, m)
		out = append(out, m)
	}
	n.renew(p)
	return out
}

// decide is what a person at a laptop does. What was decided must count where no key that is for
// all was ever stolen.
func (n *node) decide(p string, d Decision) bool {
	w := n.w
	s := n.signs()
	if s == nil || !s.ForAll() {
		return false
	}
	d.Grant.Subject = w.ids[p]
	if d.Grant.Name == "" {
		d.Grant.Name = "m-" + p
	}
	if d.Grant.Verbs == nil {
		d.Grant.Verbs = []string{}
	}
	_, err := n.f.Issuance().Decide(s, d)
	news := n.collect('o')
	if len(news) == 0 {
		return false
	}
	w.person[p] = true
	w.say("%s decides about %s: %s", n.name, p, w.tell(news[len(news)-1]))
	if err != nil && !w.once["J1"] && !w.once["J2"] {
		w.fail("P4 what %s signed for %s has no effect: %v", n.name, p, err)
	}
	return err == nil
}

func (w *world) stepRelabel() []*node {
	n, p, site := w.anyIssuer(), oneOf(w, workerNames()...), oneOf(w, "a", "b")
	w.labels[p][site] = true
	n.decide(p, Decision{Grant: Grant{Role: RoleWorker, Labels: map[string]string{"site": site}, Name: oneOf(w, "m-"+p, "m-"+p, "new-"+p)}})
	return []*node{n}
}

func (w *world) stepNarrow() []*node {
	n, p := w.anyIssuer(), oneOf(w, "c1", "c2")
	lines := map[Line]bool{}
	for _, st := range n.held() {
		if st.Grant != nil && st.Grant.Subject == w.ids[p] {
			lines[st.Grant.Line] = true
		}
	}
	if len(lines) > 0 && n.decide(p, Decision{Narrow: true, Grant: Grant{Role: RoleController, Verbs: []string{verbRead}, Expires: n.f.Now().Add(90 * day1).UnixMilli()}}) {
		w.wrote[p] = lines
	}
	return []*node{n}
}

// revoke is what a person at a laptop does, with the root key or without.
func (n *node) revoke(s *Signer, p string) {
	w := n.w
	if s == nil {
		return
	}
	err := n.f.Issuance().Revoke(s, []peer.ID{w.ids[p]}, nil)
	news := n.collect('o')
	if len(news) == 0 && err != nil {
		return // refused, and said so
	}
	w.say("%s revokes %s at %s", w.who(s.ID()), p, n.name)
	if err != nil {
		if s.ForAll() {
			w.fail("P3 %q had no effect: %v", "is revoked", err)
		}
		return // it has revoked in its own lines, and is told that another grant counts
	}
	if m, known := n.f.Known(w.ids[p]); known && m.Err == nil {
		w.fail("P3 %q had no effect", "is revoked")
	}
}

func (w *world) stepRevoke() []*node {
	n, p := w.anyIssuer(), oneOf(w, "e", "e", "e", "c1", "c2", "w1")
	if w.chance(1, 3) {
		n = w.rootAt()
		n.revoke(w.signer, p)
	} else {
		n.revoke(n.signs(), p)
	}
	v := w.nodes["V"]
	if w.chance(1, 5) {
		v.revoke(v.signs(), "w3")
	}
	return []*node{n, v}
}

// rootAt returns a machine on which the owner uses the root key: one whose clock is not ahead.
func (w *world) rootAt() *node {
	for _, n := range some(w, w.allNodes(), len(w.nodes)) {
		if !n.no && n.off <= 0 && n.off > -year {
			return n
		}
	}
	n := w.anyNode()
	n.no, n.off = false, 0
	n.boot()
	w.say("the clock of %s is set right", n.name)
	return n
}

func (w *world) stepLift() []*node {
	n, p := w.rootAt(), oneOf(w, "e", "c1", "c2")
	lifted, err := n.f.Issuance().Lift(w.signer, w.ids[p])
	if err != nil {
		w.fail("lift: %v", err)
	}
	n.collect('o')
	w.say("the root lifts %d revocations of %s at %s", lifted, p, n.name)
	return []*node{n}
}

func (w *world) stepHours() []*node {
	n := w.anyIssuer()
	life := time.Duration(oneOf(w, 8, 30)) * time.Hour
	n.decide("h", Decision{Grant: Grant{Role: RoleController, Verbs: plainVerbs(), NoRenew: true, Expires: n.f.Now().Add(life).UnixMilli()}})
	return []*node{n}
}

// extend is what the root does for an issuer: a further life in its line.
func (w *world) stepExtend() []*node {
	n, p := w.rootAt(), oneOf(w, issuerNames()...)
	if w.stolen[p] || n.f.memory.set.all[w.paper[p].ID] == nil {
		return []*node{n}
	}
	g := w.issuerGrant(p)
	if _, err := n.f.Issuance().Decide(w.signer, Decision{Grant: g, Extend: true}); err != nil {
		return []*node{n}
	}
	for _, st := range n.collect('o') {
		w.paper[p] = st
	}
	w.say("the root extends %s at %s", p, n.name)
	return []*node{n}
}

func (w *world) stolenIssuers() (out []string) {
	for _, p := range issuerNames() {
		if w.stolen[p] {
			out = append(out, p)
		}
	}
	return out
}

func (w *world) endable() string {
	list := []string{oneOf(w, "J1", "J2")}
	for range 3 {
		list = append(list, w.stolenIssuers()...)
	}
	return oneOf(w, list...)
}

func (w *world) stepEnd() []*node {
	n := w.rootAt()
	n.revoke(w.signer, w.endable())
	w.seen["ended"] = true
	return []*node{n}
}

// stepReinstate: the key of an issuer is safe again, and begins a new line.
func (w *world) stepReinstate() []*node {
	n, p := w.rootAt(), w.endable()
	ended := slices.ContainsFunc(n.held(), func(r *fact) bool { return w.endsBy(r, p) })
	if !ended {
		return []*node{n}
	}
	if _, err := n.f.Issuance().Decide(w.signer, Decision{Grant: w.issuerGrant(p), Reinstate: true}); err != nil {
		w.fail("P7 the root cannot bring %s back: %v", p, err)
	}
	delete(w.stolen, p)
	w.bad[w.paper[p].Grant.Line] = true
	for _, st := range n.collect('o') {
		w.paper[p] = st
	}
	if _, err := n.f.Issuance().Lift(w.signer, w.ids[p]); err != nil {
		w.fail("lift: %v", err)
	}
	n.collect('o')
	w.say("the root brings %s back at %s, in a new line", p, n.name)
	out := []*node{n}
	if own := w.nodes[p]; own != nil {
		own.learn(w.paper[p])
		s := own.signs()
		for _, m := range slices.Concat(thiefNames(), memberNames()) {
			own.renewBy(s, m)
		}
		out = append(out, own)
	}
	return out
}

// endsBy reports whether a statement is the root's revocation of an issuer.
func (w *world) endsBy(r *fact, p string) bool {
	return r.Revocation != nil && r.Signer == w.rootID && r.Revocation.Peer == w.ids[p]
}

// stepClose: the root closes the book of an ended signer, but for what was rightly revoked.
func (w *world) stepClose() []*node {
	n := w.rootAt()
	for _, p := range w.stolenIssuers() {
		w.closeBook(n, p)
	}
	return []*node{n}
}

func (w *world) closeBook(n *node, p string) {
	var standing []ID
	for _, r := range n.held() {
		if r.Revocation != nil && r.Signer == w.ids[p] && r.author == 'o' {
			standing = append(standing, r.ID)
		}
	}
	if err := n.f.Issuance().Close(w.signer, Closing{Signer: w.ids[p], Standing: standing}); err != nil {
		return // it was not ended as far as this machine knows
	}
	n.collect('o')
	w.say("the root closes the book of %s at %s", p, n.name)
}

func (w *world) steal(p string) {
	w.stolen[p], w.once[p] = true, true
	w.say("the key of %s is stolen", p)
}

func (w *world) stepSteal() []*node {
	if len(w.stolen) < 2 {
		w.steal(oneOf(w, "J1", "J2", "V", "K", "K", "w1", "c1", "c2"))
	}
	return nil
}

// stepTicket: the thief of c2 has an issuer's machine let a made-up peer in.
func (w *world) stepTicket() []*node {
	n := w.anyIssuer()
	s := n.signs()
	c2, known := n.f.Known(w.ids["c2"])
	if !w.stolen["c2"] || s == nil || !known || c2.Err != nil || c2.Grant.MayInvite(&Grant{Role: RoleController, Name: "x", Verbs: c2.Grant.Verbs}) != nil {
		return []*node{n}
	}
	p := oneOf(w, thiefNames()...)
	w.serial++
	line := TicketLine(w.root.Fleet(), s.ID(), w.ids[p], fmt.Sprint("ticket ", w.serial))
	accept, err := w.root.Fleet().Accept(line, w.keys[p])
	if err != nil {
		w.fail("accept: %v", err)
	}
	chain, err := s.Issue(Grant{Subject: w.ids[p], Role: RoleController, Name: "m-" + p, Verbs: slices.Clone(c2.Grant.Verbs), Line: line,
		Accept: accept, Sponsor: w.ids["c2"], Expires: n.f.Now().Add(oneOf(w, 90*day1, year)).UnixMilli()}, n.f.Now())
	if err != nil {
		w.fail("ticket: %v", err)
	}
	st, err := w.root.Fleet().Open(chain[len(chain)-1])
	if err != nil {
		w.fail("ticket: %v", err)
	}
	n.learn(w.note(fact{Statement: st, author: 'k'}))
	w.say("%s lets %s in by a ticket of c2", n.name, p)
	return []*node{n}
}

// stepForge: the thief signs what it likes with a stolen key, and shows it to a machine; without
// a key it shows what others have signed.
func (w *world) stepForge() []*node {
	n := w.anyNode()
	keys := w.stolenIssuers()
	if len(keys) == 0 {
		return w.replay(n)
	}
	w.serial++
	st, err := w.root.Fleet().Open(w.forged(oneOf(w, keys...)))
	if err != nil {
		w.fail("forge: %v", err)
	}
	f := w.note(fact{Statement: st, author: 't'})
	w.say("the thief shows %s: %s", n.name, w.tell(f))
	w.seen["forged"] = true
	n.learn(f)
	return []*node{n}
}

func (w *world) replay(n *node) []*node {
	shown := some(w, w.pool, 3)
	w.say("the thief shows %s what others have signed", n.name)
	n.learn(shown...)
	return []*node{n}
}

func (w *world) forged(by string) []byte {
	sub := oneOf(w, "x1", "x2", "x1", "x2", "w1", "w2", "w3", "w1", "w2", "w3", "c1", "c2", "e", "h", "J2", "K")
	g := w.forgedGrant(by, sub)
	lines := []Line{{}, {}, {w.rootID, serialOf("made up")}}
	var papers []*fact
	for _, st := range w.pool {
		switch {
		case st.Grant == nil:
		case st.issuer() && st.Grant.Subject == w.ids[by]:
			papers = append(papers, st)
		case st.Grant.Subject == w.ids[sub]:
			lines = append(lines, st.Grant.Line)
		}
	}
	if g.Line = oneOf(w, lines...); g.Line == (Line{}) {
		g.Line = Line{w.ids[by], serialOf(fmt.Sprint("forged ", w.serial))}
	}
	g.Paper = oneOf(w, papers...).Grant.Line.Serial
	g.Accept = w.forgedAccept(sub, g.Line)
	data, err := w.seal(by, g)
	if err != nil {
		w.fail("forge: %v", err)
	}
	return data
}

func (w *world) forgedGrant(by, sub string) Grant {
	hours := func(list ...int) int64 { return w.now.Add(time.Duration(oneOf(w, list...)) * time.Hour).UnixMilli() }
	g := Grant{Subject: w.ids[sub], N: oneOf(w, int64(1), 2, 3, 50, maxDelegated-1), Name: oneOf(w, "m-x", "m-"+sub, "w1"),
		Expires: hours(1, 1, 500, 8760, 3*8760), Issued: hours(0, -1, -300, -3000, 23, 24*30)}
	site := oneOf(w, "", "a", "b")
	g.Verbs, g.On = oneOf(w, nil, []string{verbRead}, fullVerbs(), fullVerbs()), oneOf(w, "", "", "site=a")
	if by == "V" && w.chance(7, 10) {
		g.Verbs, g.On, site = nil, "", oneOf(w, "", "a")
	}
	g.Role = RoleWorker
	if len(g.Verbs) > 0 {
		g.Role = RoleController
	}
	if site != "" {
		g.Labels = map[string]string{"site": site}
	}
	if w.chance(1, 4) {
		g.Sponsor = w.ids["c2"]
	}
	return g
}

// forgedAccept: the thief has the keys of made-up and stolen members, and what others have accepted.
func (w *world) forgedAccept(sub string, line Line) []byte {
	if !slices.Contains(thiefNames(), sub) && !w.stolen[sub] {
		for _, st := range w.pool {
			if st.Grant != nil && st.Grant.Line == line && st.Grant.Subject == w.ids[sub] && len(st.Grant.Accept) > 0 {
				return st.Grant.Accept
			}
		}
		return nil
	}
	data, err := w.root.Fleet().Accept(line, w.keys[sub])
	if err != nil {
		w.fail("accept: %v", err)
	}
	return data
}

func (w *world) stepForgeRevocation() []*node {
	n := w.anyNode()
	keys := w.stolenIssuers()
	if len(keys) == 0 {
		return w.replay(n)
	}
	by := oneOf(w, keys...)
	r, evidence := w.forgedRevocation(by)
	data, err := seal(revocationKind(), r, w.keys[by])
	if err != nil {
		w.fail("forge: %v", err)
	}
	st, err := w.root.Fleet().Open(data)
	if err != nil {
		w.fail("the thief's revocation is not valid: %v", err)
	}
	f := w.note(fact{Statement: st, author: 't'})
	w.say("the thief shows %s: %s (evidence: %s)", n.name, w.tell(f), w.tell(evidence))
	w.seen["forged a revocation"] = true
	n.learn(f)
	return []*node{n}
}

// forgedRevocation is of a peer or line, with a grant of it as evidence: the thief signs one where
// there is none, also of an issuer.
func (w *world) forgedRevocation(by string) (*Revocation, *fact) {
	w.serial++
	r := &Revocation{Fleet: w.root.Fleet(), By: w.ids[by], Nonce: serialOf(fmt.Sprint("nonce ", w.serial)), Issued: w.now.UnixMilli()}
	var papers, grants []*fact
	for _, st := range w.pool {
		if st.issuer() && st.Grant.Subject == w.ids[by] {
			papers = append(papers, st)
		} else if st.Grant != nil && !st.issuer() {
			grants = append(grants, st)
		}
	}
	paper := oneOf(w, papers...)
	r.Paper = paper.Data
	e := oneOf(w, grants...)
	if w.chance(1, 2) {
		line := e.Grant.Line
		r.Line = &line
	} else {
		p := oneOf(w, sortedNames(w.ids)...)
		r.Peer = w.ids[p]
		e = w.evidenceOf(by, p, paper, grants)
	}
	if e.Grant.Paper != "" && e.Signer != r.By {
		r.Evidence = append(r.Evidence, w.paperOf(e).Data)
	}
	r.Evidence = append(r.Evidence, e.Data)
	return r, e
}

// paperOf returns some grant of the issuer that signed a grant.
func (w *world) paperOf(e *fact) *fact {
	for _, st := range w.pool {
		if st.issuer() && st.Grant.Subject == e.Signer {
			return st
		}
	}
	return nil
}

func (w *world) evidenceOf(by, p string, paper *fact, grants []*fact) *fact {
	for _, st := range grants {
		if st.Grant.Subject == w.ids[p] {
			return st
		}
	}
	data, err := w.seal(by, Grant{Subject: w.ids[p], Role: RoleWorker, Name: "m-x", Line: Line{w.ids[by], serialOf("evidence for " + p + by)},
		Paper: paper.Grant.Line.Serial, Expires: begin().Add(time.Hour).UnixMilli()})
	if err != nil {
		w.fail("forge: %v", err)
	}
	st, err := w.root.Fleet().Open(data)
	if err != nil {
		w.fail("forge: %v", err)
	}
	return w.note(fact{Statement: st, author: 't'})
}

// stepMalformed: what can never be said is refused by everybody.
func (w *world) stepMalformed() []*node {
	n := w.anyNode()
	by := oneOf(w, append(w.stolenIssuers(), "K")...)
	w.serial++
	line := Line{w.ids[by], serialOf(fmt.Sprint("malformed ", w.serial))}
	g := Grant{Subject: w.ids["x1"], Role: RoleWorker, Name: "m-x", Line: line, Expires: w.now.Add(year).UnixMilli()}
	what := oneOf(w, "a name that is a peer ID", "a name that is a serial", "an issuer", "the root's number", "in spite of a revocation", "another's acceptance")
	switch what {
	case "a name that is a peer ID":
		g.Name = w.ids["w1"].String()
	case "a name that is a serial":
		g.Name = line.Serial
	case "an issuer":
		g.Role, g.MayIssue = RoleIssuer, &Bounds{ForAll: true}
	case "the root's number":
		g.N = maxDelegated
	case "in spite of a revocation":
		g.Despite = []ID{w.pool[0].ID}
	case "another's acceptance":
		g.Accept = w.forgedAccept("x2", line)
	}
	data, err := w.seal(by, g)
	if err != nil {
		w.fail("malformed: %v", err)
	}
	before := len(n.f.memory.set.all)
	if _, err := n.f.Learn(data); err == nil || len(n.f.memory.set.all) != before {
		w.fail("P4/P6 %s takes %s, signed by %s", n.name, what, by)
	}
	w.say("the thief shows %s %s, in vain", n.name, what)
	return []*node{n}
}

// tell describes a statement to people.
func (w *world) tell(f *fact) string {
	var b strings.Builder
	switch {
	case f.Grant != nil:
		g := f.Grant
		fmt.Fprintf(&b, "%s gives %s %s %q n=%d %v%s until %s, line %s of %s", w.who(f.Signer), w.who(g.Subject), g.Role, g.Name, g.N, g.Verbs,
			labelText(g), g.ExpiresAt().UTC().Format("2006-01-02 15h"), g.Line.Serial[:4], w.who(g.Line.By))
		if g.Paper != "" {
			fmt.Fprintf(&b, ", paper %s", g.Paper[:4])
		}
		if g.Sponsor != "" {
			fmt.Fprintf(&b, ", sponsor %s", w.who(g.Sponsor))
		}
		if g.MayIssue != nil {
			fmt.Fprintf(&b, ", issuer for all: %v, in spite of %d", g.MayIssue.ForAll, len(g.Despite))
		}
	case f.Revocation != nil && f.Revocation.Line != nil:
		fmt.Fprintf(&b, "%s revokes the line %s of %s", w.who(f.Signer), f.Revocation.Line.Serial[:4], w.who(f.Revocation.Line.By))
	case f.Revocation != nil:
		fmt.Fprintf(&b, "%s revokes %s", w.who(f.Signer), w.who(f.Revocation.Peer))
	default:
		fmt.Fprintf(&b, "the root lifts")
	}
	return b.String()
}

func labelText(g *Grant) string {
	out := ""
	if g.On != "" {
		out = " on " + g.On
	}
	for k, v := range g.Labels {
		out += " labelled " + k + "=" + v
	}
	return out
}
