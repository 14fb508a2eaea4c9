package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"
)

// Who plays in the model. J1 and J2 are for all, V signs for machines of site a, K is a full
// issuer that is not for all; c2 may let in others, e is a former member, h has rights for hours.
// The thief makes x1 and x2 up. N is the owner's next laptop.
const (
	verbDo   = "deploy"
	verbRead = "stats.read"
	theFleet = "home"
	day1     = 24 * time.Hour
	year     = 365 * day1
)

func issuerNames() []string { return []string{"J1", "J2", "V", "K"} }
func workerNames() []string { return []string{"w1", "w2", "w3"} }
func memberNames() []string { return []string{"c1", "c2", "e", "h"} }
func thiefNames() []string  { return []string{"x1", "x2"} }

// begin is when each history begins, and built when the program was.
func begin() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }
func built() time.Time { return begin().Add(-1000 * time.Hour) }

func fullVerbs() []string  { return []string{verbDo, verbRead, VerbAdmit} }
func plainVerbs() []string { return []string{verbDo, verbRead} }

// cast is who plays, with real keys, and what is signed before a history begins. It is the same
// in all histories of a process, so that little has to be signed anew.
type cast struct {
	root   *Root
	rootID peer.ID
	signer *Signer
	keys   map[string]crypto.PrivKey
	ids    map[string]peer.ID
	names  map[peer.ID]string
	papers map[string]*fact // by issuer, and for K by its life in hours
	first  []*fact          // of members
	chains map[string]Chain // of who has a machine
}

// fact is a statement, and what only the oracle knows of it: who truly wanted it. That is the
// owner 'o', a machine of the owner by itself 'a', a redeemed ticket 'k', or the thief 't'.
type fact struct {
	*Statement
	author byte
	seq    int
	// under is the issuer's paper that a revocation carries; nil for the root.
	under *Grant
}

func seedOf(name string) []byte {
	sum := sha256.Sum256([]byte("swarm model " + name))
	return sum[:]
}

// serialOf makes a serial of a text, so that the same is signed in each history.
func serialOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.EncodeToString(sum[:])[:serialLength]
}

func newCast(t testing.TB) *cast {
	t.Helper()
	c := &cast{
		root: &Root{ed25519.NewKeyFromSeed(seedOf("root"))}, keys: map[string]crypto.PrivKey{}, ids: map[string]peer.ID{},
		names: map[peer.ID]string{}, papers: map[string]*fact{}, chains: map[string]Chain{},
	}
	var err error
	if c.signer, err = c.root.Signer(); err != nil {
		t.Fatal(err)
	}
	c.rootID = c.signer.ID()
	for _, name := range slices.Concat(issuerNames(), workerNames(), memberNames(), thiefNames(), []string{"N", "nobody"}) {
		key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seedOf(name)))
		if err != nil {
			t.Fatal(err)
		}
		c.keys[name] = key
		if c.ids[name], err = peer.IDFromPrivateKey(key); err != nil {
			t.Fatal(err)
		}
		c.names[c.ids[name]] = name
	}
	c.signFirst(t)
	return c
}

// signFirst signs what all know when a history begins.
func (c *cast) signFirst(t testing.TB) {
	t.Helper()
	for name, life := range map[string]time.Duration{"J1": 2 * year, "J2": 2 * year, "V": 2 * year, "K20": 20 * time.Hour, "K200": 200 * time.Hour, "K2000": 2000 * time.Hour} {
		p := strings.TrimRight(name, "0")
		if strings.HasPrefix(p, "K") {
			p = "K"
		}
		g := c.issuerGrant(p)
		g.Line, g.Expires = Line{c.rootID, serialOf("line of " + p)}, begin().Add(life).UnixMilli()
		c.papers[name] = c.signed(t, "", g, 'o')
	}
	for _, m := range []struct {
		by, p string
		g     Grant
		life  time.Duration
	}{
		{"J1", "w1", Grant{Role: RoleWorker, Labels: map[string]string{"site": "b"}}, year},
		{"", "w2", Grant{Role: RoleWorker, Labels: map[string]string{"site": "a"}}, year},
		{"V", "w3", Grant{Role: RoleWorker, Labels: map[string]string{"site": "a"}}, year},
		{"J1", "c1", Grant{Role: RoleController, Verbs: plainVerbs()}, 90 * day1},
		{"", "c2", Grant{Role: RoleController, Verbs: fullVerbs()}, year},
		{"J2", "e", Grant{Role: RoleController, Verbs: plainVerbs()}, 90 * day1},
	} {
		g := m.g
		g.Subject, g.Name, g.Expires = c.ids[m.p], "m-"+m.p, begin().Add(m.life).UnixMilli()
		g.Line = Line{c.id(m.by), serialOf("line of " + m.p)}
		if m.by == "V" {
			g.Accept = c.accept(t, m.p, g.Line)
		}
		c.first = append(c.first, c.signed(t, m.by, g, 'o'))
	}
	for _, name := range slices.Concat([]string{"J1", "J2", "V"}, workerNames()) {
		c.chains[name] = c.chainOf(name)
	}
}

func (c *cast) chainOf(name string) Chain {
	if paper := c.papers[name]; paper != nil {
		return Chain{paper.Data}
	}
	for _, g := range c.first {
		if g.Grant.Subject != c.ids[name] {
			continue
		}
		if by := c.papers[c.names[g.Signer]]; by != nil {
			return Chain{by.Data, g.Data}
		}
		return Chain{g.Data}
	}
	return nil
}

// id returns the peer ID of a name; "" is the root.
func (c *cast) id(name string) peer.ID {
	if name == "" {
		return c.rootID
	}
	return c.ids[name]
}

// who names a peer for people.
func (c *cast) who(p peer.ID) string {
	if p == c.rootID {
		return "the root"
	}
	return c.names[p]
}

// issuerGrant is what the root gives each issuer.
func (c *cast) issuerGrant(p string) Grant {
	all := []Role{RoleWorker, RoleRelay, RoleController, RoleViewer}
	g := Grant{Role: RoleIssuer, Subject: c.ids[p], Name: "m-" + p, Verbs: append(fullVerbs(), VerbGrant, VerbRevoke)}
	g.MayIssue = &Bounds{ForAll: true, Roles: all, Verbs: fullVerbs()}
	switch p {
	case "V":
		g.Verbs, g.On, g.MayIssue = []string{}, "site=a", &Bounds{Roles: []Role{RoleWorker}}
	case "K":
		g.MayIssue.ForAll = false
	}
	return g
}

func (c *cast) accept(t testing.TB, p string, line Line) []byte {
	t.Helper()
	data, err := c.root.Fleet().Accept(line, c.keys[p])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signed signs a grant as it stands, by the key of a name: whatever its signer may.
func (c *cast) signed(t testing.TB, by string, g Grant, author byte) *fact {
	t.Helper()
	data, err := c.seal(by, g)
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.root.Fleet().Open(data)
	if err != nil {
		t.Fatal(err)
	}
	return &fact{Statement: st, author: author}
}

func (c *cast) seal(by string, g Grant) ([]byte, error) {
	key := c.signer.key
	g.Fleet, g.By, g.N, g.Issued = c.root.Fleet(), c.rootID, max(g.N, 1), max(g.Issued, 1)
	if by != "" {
		key, g.By = c.keys[by], c.ids[by]
		if paper := c.papers[by]; g.Paper == "" && paper != nil {
			g.Paper = paper.Grant.Line.Serial
		} else if g.Paper == "" {
			g.Paper = serialOf("line of " + by)
		}
	}
	return seal(grantKind(), &g, key)
}

// world is one history.
type world struct {
	*cast
	rt    *rapid.T
	turn  int
	dir   string
	now   time.Time // of a right clock
	nodes map[string]*node

	book   map[ID]*fact
	byData map[string]*fact
	pool   []*fact // all that was ever signed: a thief may show it to anybody
	paper  map[string]*fact
	serial int

	stolen, once map[string]bool
	cut          map[string]bool // machines that nobody reaches now
	joined       map[string]string
	labels       map[string]map[string]bool
	wrote        map[string]map[Line]bool // what was narrowed
	person       map[string]bool
	bad          map[Line]bool // lines of keys that were stolen and are safe again
	words        []string      // what happened
	seen         map[string]bool
}

// node is a machine with a real Fleet in a real directory.
type node struct {
	w      *world
	name   string
	id     peer.ID
	dir    string
	f      *Fleet
	off    time.Duration // of its clock
	no     bool          // it has no clock: it is 1970
	booted time.Time
	most   time.Time // the latest that its clock ever showed
	ever   map[ID]*fact
	list   []*fact // of ever
	waived map[ID]bool
	hurt   bool // a file of it was damaged
}

// broken is a promise that does not hold.
type broken string

func (w *world) fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

func (w *world) say(format string, args ...any) {
	w.words = append(w.words, fmt.Sprintf("%s  %s", w.now.Format("2006-01-02 15h"), fmt.Sprintf(format, args...)))
}

// up to n-1. What rapid prefers turns round, so that all are drawn alike.
func (w *world) draw(n int) int {
	w.turn += 7
	return (rapid.IntRange(0, n-1).Draw(w.rt, "") + w.turn) % n
}

func (w *world) chance(of, in int) bool { return w.draw(in) < of }

func oneOf[T any](w *world, list ...T) T { return list[w.draw(len(list))] }

// some returns up to n of a list, in another order.
func some[T any](w *world, list []T, n int) (out []T) {
	left := slices.Clone(list)
	for range min(n, len(left)) {
		i := w.draw(len(left))
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

func newWorld(c *cast, rt *rapid.T, dir string) *world {
	w := &world{
		cast: c, rt: rt, dir: dir, now: begin(), nodes: map[string]*node{}, book: map[ID]*fact{}, byData: map[string]*fact{},
		paper: map[string]*fact{}, stolen: map[string]bool{}, once: map[string]bool{}, cut: map[string]bool{}, joined: map[string]string{},
		labels: map[string]map[string]bool{}, wrote: map[string]map[Line]bool{}, person: map[string]bool{}, bad: map[Line]bool{}, seen: map[string]bool{},
	}
	for _, p := range issuerNames() {
		w.paper[p] = c.papers[p]
	}
	w.paper["K"] = c.papers[oneOf(w, "K20", "K200", "K2000")]
	known := make([]*fact, 0, 16)
	for _, p := range issuerNames() {
		known = append(known, w.note(*w.paper[p]))
	}
	for _, g := range c.first {
		p := c.names[g.Grant.Subject]
		known = append(known, w.note(*g))
		w.joined[p] = c.names[g.Signer]
		w.labels[p] = map[string]bool{g.Grant.Labels["site"]: true}
	}
	for _, name := range slices.Concat([]string{"J1", "J2", "V"}, workerNames()) {
		n := w.machine(name)
		n.create(c.chains[name])
		n.learn(known...)
	}
	return w
}

func (w *world) machine(name string) *node {
	n := &node{w: w, name: name, id: w.ids[name], dir: filepath.Join(w.dir, name), ever: map[ID]*fact{}, waived: map[ID]bool{}}
	w.nodes[name] = n
	n.boot()
	return n
}

func (n *node) boot() {
	n.booted = n.w.now
	n.clock()
}

func (n *node) config() FleetConfig {
	return FleetConfig{Dir: n.dir, Self: n.id, Clock: n.clock, Built: built()}
}

func (n *node) create(c Chain) {
	f, err := CreateFleet(n.config(), Membership{n.w.root.Fleet(), theFleet, c}, nil)
	if err != nil {
		n.w.fail("%s cannot join: %v", n.name, err)
	}
	n.f = f
	n.hear(c...)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// clock is what the machine's clock shows.
func (n *node) clock() time.Time {
	if n.no {
		return time.Unix(0, 0).UTC().Add(n.w.now.Sub(n.booted))
	}
	at := n.w.now.Add(n.off)
	n.most = later(n.most, at)
	return at
}

// reopen reads the files as the next process does.
func (n *node) reopen() {
	n.boot()
	f, err := OpenFleet(n.config())
	if err != nil {
		n.w.fail("P7 %s does not start: %v", n.name, err)
	}
	n.f = f
	if err := f.Whole(); err != nil {
		n.w.seen["not whole"] = true
		if !n.hurt {
			n.w.fail("P7 %s misses what no damage has taken: %v", n.name, err)
		}
	}
}

// note makes a statement known to the oracle.
func (w *world) note(f fact) *fact {
	if old := w.book[f.ID]; old != nil {
		return old
	}
	f.seq = len(w.book)
	if r := f.Revocation; r != nil && len(r.Paper) > 0 {
		if st := w.byData[string(r.Paper)]; st != nil {
			f.under = st.Grant
		}
	}
	w.book[f.ID], w.byData[string(f.Data)] = &f, &f
	w.pool = append(w.pool, &f)
	return &f
}

// hear notes that a machine was told statements, and what it took of them.
func (n *node) hear(data ...[]byte) {
	for _, d := range data {
		st := n.w.byData[string(d)]
		if st == nil || n.ever[st.ID] != nil {
			continue
		}
		if _, taken := n.f.memory.set.all[st.ID]; !taken && st.kept() {
			continue // there was no room
		}
		n.ever[st.ID] = st
		n.list = append(n.list, st)
	}
}

// learn tells a machine statements. They were verified when they were signed; one time in thirty-two
// all of it is done again, as it is for what comes from the wire.
func (n *node) learn(facts ...*fact) {
	var news []*Statement
	var data [][]byte
	for _, st := range facts {
		if _, known := n.f.memory.set.all[st.ID]; !known {
			news, data = append(news, st.Statement), append(data, st.Data)
		}
	}
	if len(news) == 0 {
		return
	}
	var err error
	if n.w.chance(1, 32) {
		_, err = n.f.Learn(data...)
	} else {
		_, err = n.f.memory.take(news, true)
		err = errors.Join(err, n.f.memory.saveOwed())
	}
	if err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrSignerEnded) {
		n.w.fail("%s refuses what is valid: %v", n.name, err)
	}
	n.hear(data...)
}

// collect notes what the package has signed on a machine.
func (n *node) collect(author byte) (news []*fact) {
	for id, st := range n.f.memory.set.all {
		if n.w.book[id] == nil {
			news = append(news, &fact{Statement: st, author: author})
		} else {
			n.hear(st.Data) // the root has signed the same elsewhere in the same moment
		}
	}
	slices.SortFunc(news, func(a, b *fact) int { return a.ID.Compare(b.ID) })
	for i, st := range news {
		news[i] = n.w.note(*st)
		n.hear(st.Data)
	}
	return news
}

// facts of statements as they travel.
func (w *world) facts(data [][]byte) (out []*fact) {
	for _, d := range data {
		if st := w.byData[string(d)]; st != nil {
			out = append(out, st)
		}
	}
	return out
}

// held is what a machine has now.
func (n *node) held() (out []*fact) {
	for id := range n.f.memory.set.all {
		if st := n.w.book[id]; st != nil {
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b *fact) int { return a.seq - b.seq })
	return out
}

// meet is a contact of two machines: each shows its grant, and they exchange what they have.
func (w *world) meet(a, b *node) {
	if a == b || w.cut[a.name] || w.cut[b.name] {
		return
	}
	a.shown(b)
	b.shown(a)
	w.exchange(a, b)
	if w.both(a, b) || w.chance(1, 2) { // laptops tell each other of all members, who show themselves to the others
		a.learn(b.held()...)
		b.learn(a.held()...)
	}
}

func (w *world) both(a, b *node) bool {
	laptops := []string{"J1", "J2", "N"}
	return slices.Contains(laptops, a.name) && slices.Contains(laptops, b.name)
}

// shown takes the grant that another machine shows.
func (n *node) shown(o *node) {
	c := o.f.Chain()
	if n.w.chance(1, 32) {
		_, _ = n.f.Admit(o.id, c)
		n.hear(c...)
		return
	}
	n.learn(n.w.facts(c)...)
}

// exchange is what two machines do at a contact: a says what it has in sums, b answers with what
// differs, and each gives the other what it lacks.
func (w *world) exchange(a, b *node) {
	a.learn(w.facts(b.f.Exchange().Bodies(a.id, a.f.Exchange().Sought(64)))...)
	if a.f.Exchange().Digest(b.id) == b.f.Exchange().Digest(a.id) {
		return
	}
	most := oneOf(w, 1, 3, 30, 3000)
	b.learn(w.facts(a.f.Exchange().Bodies(b.id, b.f.Missing()))...)
	a.f.Exchange().Seek(b.f.Missing())
	sums := a.f.Exchange().Sums(b.id)
	for after := (ID{}); ; {
		ids, buckets, more := b.f.Exchange().Differing(a.id, sums, after, most)
		beyond := a.f.Exchange().Beyond(b.id, ids, buckets)
		a.learn(w.facts(b.f.Exchange().Bodies(a.id, a.f.Exchange().Lacks(ids)))...)
		b.learn(w.facts(beyond)...)
		if !more || len(ids) == 0 {
			return
		}
		after = ids[len(ids)-1]
	}
}

// signs returns what signs on a machine, or nil where that may not sign now.
func (n *node) signs() *Signer {
	s, err := n.f.Signer(n.w.keys[n.name])
	if err != nil {
		return nil
	}
	return s
}

// damage does to one file what a bad card or a loss of power does, and starts the machine again.
func (n *node) damage(file, how string) {
	path := filepath.Join(n.dir, file)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = n.w.spoil(path, data, how)
	}
	if err != nil {
		n.w.fail("damage: %v", err)
	}
	n.hurt = true
	n.reopen()
}

func (w *world) spoil(path string, data []byte, how string) error {
	switch how {
	case "deleted":
		return os.Remove(path)
	case "emptied":
		data = nil
	case "NULs":
		clear(data)
	case "half":
		data = data[:len(data)/2]
	case "cut at a line":
		if i := strings.LastIndexByte(string(data[:len(data)/2]), '\n'); i > 0 {
			data = data[:i+1]
		}
	default:
		for range 1 + w.draw(3) {
			data[w.draw(len(data))] ^= 1 << w.draw(8)
		}
	}
	return os.WriteFile(path, data, 0o600)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
