package trust

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// data is a statement of some bytes.
func data(n int) []byte { return make([]byte, n) }

// revokes is a revocation of a peer, on the word of an issuer, or of the root.
func (m *made) revokes(by, shown peer.ID, bytes int) error {
	return m.put(Statement{Signer: by, Data: data(bytes), Revocation: &Revocation{By: by, Peer: m.subject(), own: by == shown, shown: shown}})
}

// What one signer revokes is bounded in bytes, and what rests on one word leaves room for the rest.
func TestRevocationsAreBoundedInBytes(t *testing.T) {
	m := newMade()
	const size = maxRevocationBytes
	fill := func(shown peer.ID, most int) {
		t.Helper()
		for n := range most + 1 {
			if err := m.revokes(madeAll, shown, size); (err == nil) != (n < most) || err != nil && !errors.Is(err, ErrFull) {
				t.Fatalf("on the word of %q, %d bytes: %v", shown, (n+1)*size, err)
			}
		}
		if err := m.revokes(madeAll, shown, 1); !errors.Is(err, ErrFull) {
			t.Errorf("on the word of %q, one byte: %v", shown, err)
		}
	}
	fill(madeAll, maxWordBytes/size)
	fill(madeLimited, (maxRevokedBytes-maxWordBytes)/size)
	fill("", 0) // and what the root gave
	for _, err := range []error{m.revokes(madeRoot, "", size), m.revokes(madeLimited, madeLimited, size)} {
		if err != nil {
			t.Errorf("another signer: %v", err)
		}
	}
	var some ID
	for _, list := range m.revs {
		if list[0].Signer == madeAll {
			some = list[0].ID
		}
	}
	if err := m.put(Statement{Signer: madeRoot, Lift: &Lift{IDs: []ID{some}}}); err != nil {
		t.Fatal(err)
	}
	if err := m.revokes(madeAll, "", size); err != nil {
		t.Errorf("after a lift: %v", err)
	}
}

// given is a grant of some bytes.
func (m *made) given(by, p peer.ID, n int64, name string, bytes int) error {
	return m.put(Statement{Signer: by, Data: data(bytes), Grant: &Grant{By: by, Subject: p, Role: RoleWorker, Name: name, Paper: string(by),
		Line: Line{by, fmt.Sprint(m.next)}, N: n, Expires: maxMillis, accepted: true}})
}

// What one signer grants is bounded in bytes: what repeats gives way first, and nothing hides that
// grants differ.
func TestGrantsAreBoundedInBytes(t *testing.T) {
	m := newMade()
	const size = 8 << 10
	name := func(i int) peer.ID { return peer.ID(fmt.Sprint("thief's ", i)) }
	for i := range maxGrantsBytes/size - 1 {
		if err := m.given(madeAll, name(i), 1, "x", size); err != nil {
			t.Fatalf("%d bytes: %v", (i+1)*size, err)
		}
	}
	if err := m.given(madeAll, "rig", 1, "rig", size); err != nil {
		t.Fatal(err)
	}
	for n := range int64(20) { // a renewal takes the place of what it renews
		if err := m.given(madeAll, "rig", n+2, "rig", size); err != nil || m.highestOf("rig") != n+2 {
			t.Fatalf("renewal %d: %v, number %d counts", n+1, err, m.highestOf("rig"))
		}
	}
	for _, tc := range []struct {
		name string
		err  error
		full bool
	}{
		{"one more", m.given(madeAll, "one more", 1, "y", 1), true},
		{"another name", m.given(madeAll, "rig", 99, "evil", size), true},
		{"by another", m.given(madeLimited, "one more", 1, "y", size), false},
		{"by the root", m.given(madeRoot, "one more", 1, "y", size), false},
		{"of this machine", m.given(madeAll, madeSelf, 1, "self", size), false},
	} {
		if errors.Is(tc.err, ErrFull) != tc.full || !tc.full && tc.err != nil {
			t.Errorf("%s: %v", tc.name, tc.err)
		}
	}
	// For a machine that shows its grant itself one that was only told of makes room, and after the end
	// of the signer any.
	for i := 0; m.given(madeAll, peer.ID(fmt.Sprint("more ", i)), 1, "z", size) == nil; i++ {
	}
	m.seen["shows"] = struct{}{}
	if err := m.given(madeAll, "shows", 1, "s", size); err != nil || m.granting[madeAll].bytes > maxGrantsBytes {
		t.Errorf("one that shows itself: %v", err)
	}
	for p := range m.signed[madeAll] {
		m.seen[p] = struct{}{}
	}
	m.seen["late"] = struct{}{}
	if err := m.given(madeAll, "late", 1, "l", size); !errors.Is(err, ErrFull) {
		t.Errorf("all have shown themselves: %v", err)
	}
	if err := m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: madeAll}}); err != nil {
		t.Fatal(err)
	}
	for i := range len(m.signed[madeAll]) - maxOrphans { // as few as are kept of an ended signer
		m.forgetPeer(name(i))
	}
	if err := m.given(madeAll, "late", 1, "l", size); err != nil {
		t.Errorf("its signer has ended: %v", err)
	}
	sum := 0
	for _, list := range m.plain {
		for _, st := range list {
			if st.Signer == madeAll {
				sum += len(st.Data)
			}
		}
	}
	if got := m.granting[madeAll].bytes; got != sum {
		t.Errorf("%d bytes are counted, and there are %d", got, sum)
	}
}

// highestOf returns the number that counts for a member.
func (m *made) highestOf(p peer.ID) int64 {
	if st, _ := m.at(m.now).pick(p); st != nil {
		return st.Grant.N
	}
	return 0
}

// An honest fleet has room: one signer of 10,000 members renews all of them five times, and has
// revoked 4,096 members of its own.
func TestHonestFleetFits(t *testing.T) {
	m := newMade()
	const grant, revocation = 760, 2_100 // with three labels and an origin
	for n := range int64(6) {
		for i := range maxSubjects - 1 {
			p := peer.ID(fmt.Sprint("rig ", i))
			if err := m.given(madeAll, p, n+1, string(p), grant); err != nil || m.highestOf(p) != n+1 {
				t.Fatalf("renewal %d of member %d: %v", n, i, err)
			}
		}
	}
	if err := m.given(madeAll, "one more", 1, "one more", grant); err != nil {
		t.Errorf("another member: %v", err)
	}
	for i := range maxOwnRevoked {
		if err := m.revokes(madeAll, madeAll, revocation); err != nil {
			t.Fatalf("revocation %d: %v", i+1, err)
		}
	}
	if err := m.revokes(madeAll, madeLimited, revocation); err != nil {
		t.Errorf("of another's member: %v", err)
	}
}

// A thief does not keep the same key from revoking with revocations of no effect: those under another
// paper have another room.
func TestIdleRevocationsTakeNoRoomOfOthers(t *testing.T) {
	m := newMade()
	revoke := func(paper string, forAll bool) error {
		return m.put(Statement{Signer: madeAll, Revocation: &Revocation{By: madeAll, Peer: "x", shown: madeLimited, paper: paper, forAll: forAll}})
	}
	for range maxPerTarget {
		if err := revoke("old", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := revoke("old", false); !errors.Is(err, ErrFull) {
		t.Errorf("one more of the same: %v", err)
	}
	if err := revoke("new", false); err != nil { // which goes on when the book is closed for the old one
		t.Errorf("under another line: %v", err)
	}
	if err := revoke("new", true); err != nil || m.peerRevoked("x") == nil {
		t.Errorf("one that counts: %v", err)
	}
}

// talker is a node that exchanges made statements.
type talker struct {
	*made
	*Exchange
	told map[string]*Statement // all that were ever made, by their bytes
}

func newTalker(self peer.ID, told map[string]*Statement) *talker {
	m := newMade()
	clear(m.all) // what the others have, too
	clear(m.revs)
	m.self = self
	return &talker{m, &Exchange{memory: &memory{cfg: FleetConfig{Self: self}, root: madeRoot, set: m.set, declined: map[ID]struct{}{}}}, told}
}

func (n *talker) take(statements ...*Statement) {
	for _, st := range statements {
		n.told[string(st.Data)] = st
		if added, err := n.add(st, n.now, false); added {
			n.memory.changes++
		} else if err != nil {
			n.memory.decline(st.ID, err)
		}
	}
}

func (n *talker) hear(data [][]byte) {
	for _, d := range data {
		n.take(n.told[string(d)])
	}
}

// meet is what membership does at a contact. It returns how many statements were sent.
func (n *talker) meet(o *talker) (sent int) { return n.meetBy(o, 500) }

// meetBy is meet with as many statements at a time.
func (n *talker) meetBy(o *talker, most int) (sent int) {
	if n.Digest(o.self) == o.Digest(n.self) {
		return 0
	}
	sums, after := n.Sums(o.self), ID{}
	for more := true; more; {
		var ids []ID
		var buckets []int
		ids, buckets, more = o.Differing(n.self, sums, after, most)
		give := n.Beyond(o.self, ids, buckets)
		o.hear(give)
		fetch := o.Bodies(n.self, n.Lacks(ids))
		n.hear(fetch)
		sent += len(give) + len(fetch)
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
	}
	return sent
}

// A grant whose signer a node has never heard of is not kept. So that by which the signer signs comes
// before it, whatever their IDs are, and in however small parts two nodes compare what they have:
// else the node that signs a machine anew would see the work of a thief alone.
func TestPapersTravel(t *testing.T) {
	for _, name := range []string{"it asks", "it is given", "it was told of the grant before, without that"} {
		t.Run(name, func(t *testing.T) {
			told := map[string]*Statement{}
			laptop, rig := newTalker("laptop", told), newTalker("rig", told)
			for _, n := range []*talker{laptop, rig} {
				clear(n.issuers)
			}
			line := Line{madeRoot, "paper"}
			paper := &Statement{ID: ID{9}, Data: []byte("paper"), Signer: madeRoot, Grant: &Grant{By: madeRoot, Subject: madeLimited,
				Name: "vps", Line: line, N: 1, Expires: maxMillis, MayIssue: &Bounds{ForAll: true, Roles: []Role{RoleWorker}}}}
			grant := &Statement{ID: ID{1}, Data: []byte("grant"), Signer: madeLimited, Grant: &Grant{By: madeLimited, Subject: "rig",
				Role: RoleWorker, Name: "rig", Paper: line.Serial, Line: Line{madeLimited, "rig"}, N: 1, Expires: maxMillis}}
			rig.take(paper, grant)
			if name == "it is given" {
				rig.meetBy(laptop, 1)
			} else {
				if name != "it asks" {
					laptop.take(grant)
				}
				laptop.meetBy(rig, 1)
			}
			if laptop.all[grant.ID] == nil {
				t.Error("the grant of the rig is not known")
			}
		})
	}
}

// Nodes that a thief has filled with different revocations have nothing to tell each other once each
// is full; and what is not under a bound that is reached spreads as ever.
func TestFullNodesAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	id := func() (id ID) {
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		return id
	}
	revocation := func(shown, p peer.ID, bytes int) *Statement {
		st := &Statement{ID: id(), Signer: madeAll, Revocation: &Revocation{By: madeAll, Peer: p, own: shown == madeAll, shown: shown}}
		st.Data = append(st.ID[:], data(bytes)...)
		return st
	}
	subject := func() peer.ID { i := id(); return peer.ID(i[:]) }
	for _, tc := range []struct {
		name string
		make func() *Statement
		each int // at each node before they meet
		kept int
	}{
		{"own lines", func() *Statement { return revocation(madeAll, subject(), 0) }, maxOwnRevoked + 50, maxOwnRevoked},
		{"not full before they meet", func() *Statement { return revocation(madeAll, subject(), 0) }, maxOwnRevoked - 50, maxOwnRevoked},
		{"large ones", func() *Statement { return revocation(madeAll, subject(), 30<<10) }, 500, maxWordBytes/(30<<10+32) + 1},
		{"of one target", func() *Statement { return revocation(madeLimited, "x", 0) }, maxPerTarget, maxPerTarget},
		{"of one target, not full", func() *Statement { return revocation(madeLimited, "x", 0) }, maxPerTarget - 2, maxPerTarget},
		{"that the root let in", func() *Statement { return revocation("", subject(), 30<<10) }, 600, maxRevokedBytes/(30<<10+32) + 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			told := map[string]*Statement{}
			nodes := []*talker{newTalker("a", told), newTalker("b", told), newTalker("c", told)}
			for _, n := range nodes[:2] {
				for range tc.each {
					n.take(tc.make())
				}
			}
			meet := func() (sent int) {
				for _, pair := range [][2]int{{0, 1}, {1, 0}, {2, 0}, {1, 2}, {0, 2}} {
					sent += nodes[pair[0]].meet(nodes[pair[1]])
				}
				return sent
			}
			meet()
			for _, n := range nodes {
				if got := len(n.all); got != tc.kept {
					t.Errorf("%s keeps %d, want %d", n.self, got, tc.kept)
				}
			}
			if n := meet(); n > 0 || nodes[0].Digest("b") != nodes[1].Digest("a") {
				t.Errorf("%d statements are sent at each contact", n)
			}
			// The next word of another signer, and of the root, reaches all, and costs little.
			other := &Statement{ID: id(), Signer: madeLimited, Revocation: &Revocation{By: madeLimited, Peer: "y", own: true, shown: madeLimited}}
			root := &Statement{ID: id(), Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: "z"}}
			for _, st := range []*Statement{other, root} {
				st.Data = slices.Clone(st.ID[:])
				nodes[1].take(st)
			}
			if n := meet(); n > tc.kept/8+40 {
				t.Errorf("%d statements were sent with two new ones", n)
			}
			for _, n := range nodes {
				if n.all[other.ID] == nil || n.all[root.ID] == nil {
					t.Errorf("%s has not heard it", n.self)
				}
			}
			// Where the root makes room, it is filled.
			var lifted []ID
			for id, st := range nodes[0].all {
				if st.Signer == madeAll && len(lifted) < 3 {
					lifted = append(lifted, id)
				}
			}
			lift := &Statement{ID: id(), Signer: madeRoot, Lift: &Lift{IDs: lifted}}
			lift.Data = slices.Clone(lift.ID[:])
			nodes[0].take(lift)
			meet()
			meet()
			if n := meet(); n > 0 {
				t.Errorf("%d statements are sent at each contact after a lift", n)
			}
			for _, n := range nodes {
				if _, full := n.reached(tc.make()); !full {
					t.Errorf("%s has room", n.self)
				}
			}
		})
	}
}

// Whoever has the key of an issuer that has ended may tell of made-up members without end. That there
// is no room for them costs next to nothing: a look at each of 10,000 members, 47 ms, kept a machine
// from answering anybody else. Where there is room again it is found.
func TestNoRoomIsCheap(t *testing.T) {
	m := newMade()
	name := func(what string, i int) peer.ID { return peer.ID(fmt.Sprint(what, i)) }
	for i := range maxSubjects {
		if err := m.grant(madeAll, name("made up ", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(by peer.ID, what string) {
		t.Helper()
		const times = 1_000
		began := time.Now()
		for i := range times {
			if err := m.grant(by, name(what, i), 1); !errors.Is(err, ErrFull) {
				t.Fatalf("%s: %v", what, err)
			}
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: %d were refused in %v", what, times, took)
		}
	}
	refused(madeAll, "10,000 are known ")
	if err := m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: madeAll}}); err != nil {
		t.Fatal(err)
	}
	refused(madeAll, "the signer has ended ")
	m.seen["shows"] = struct{}{}
	if err := m.grant(madeAll, "shows", 1); err != nil {
		t.Errorf("one that shows itself: %v", err)
	}
	refused(madeAll, "still ended ")
	if err := m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: "shows"}}); err != nil {
		t.Fatal(err)
	}
	m.now = m.now.Add(fullFor)
	if err := m.grant(madeAll, "one more", 1); err != nil {
		t.Errorf("in the place of one that was revoked: %v", err)
	}
	refused(madeAll, "full again ")
	for i := range maxSubjects - maxOrphans + 10 { // they are signed anew
		if err := m.grant(madeRoot, name("made up ", i), 2); err != nil {
			t.Fatal(err)
		}
	}
	m.forgetPeer(name("made up ", 0)) // room among all
	m.now = m.now.Add(fullFor)
	if err := m.grant(madeAll, "another", 1); err != nil {
		t.Errorf("when others were signed anew: %v", err)
	}
}
