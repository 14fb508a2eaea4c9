package trust_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// again opens a machine's membership as its next start does.
func (o *owner) again(f *trust.Fleet) *trust.Fleet {
	o.t.Helper()
	next, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: f.Self().Grant.Subject})
	must(o.t, err)
	return next
}

// revocation is what one signs who has a key and is not held by our code.
func (o *owner) revocation(by person, paper []byte, p peer.ID, evidence ...[]byte) []byte {
	o.t.Helper()
	return trust.SealRevocation(o.t, &trust.Revocation{Fleet: o.root.Fleet(), By: by.id, Peer: p, Paper: paper, Evidence: evidence, Nonce: trust.NewSerial(), Issued: 1}, by.key)
}

// A machine that has heard what an issuer revoked, and then that its book is closed, starts anew
// and is whole.
func TestClosedBookIsNotMissed(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	s, thief, c := o.stolen()
	friend := newPerson(t)
	o.learn(f, c...)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})...)
	must(t, f.Issuance().Revoke(s, []peer.ID{friend.id}, nil))
	o.revoke(f, o.signer, thief.id)
	must(t, f.Issuance().Close(o.signer, trust.Closing{Signer: thief.id}))
	for range 3 {
		f = o.again(f)
		must(t, f.Whole())
		must(t, f.May(friend.id, "deploy"))
	}
}

// A machine has lost what a closed book holds, which nobody compares, and the only one that has it never
// meets it: who meets both carries it from one to the other. One that the root has not been asked about is
// whole again.
func TestLostOfAClosedBook(t *testing.T) {
	o := newOwner(t)
	holder, holderID := o.rig(t.TempDir(), nil, nil)
	loser, loserID := o.rig(t.TempDir(), nil, nil)
	laptop, _ := o.rig(t.TempDir(), nil, nil)
	_, thief, c := o.stolen()
	friend := newPerson(t)
	paper := o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})
	lost := o.revocation(thief, c[0], friend.id, paper...)
	for _, f := range []*trust.Fleet{holder, loser} {
		o.learn(f, append(append(c, paper...), lost)...)
	}
	o.learn(laptop, append(c, paper...)...)
	path := filepath.Join(loser.Dir(), "statements")
	data, err := os.ReadFile(path)
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	must(t, os.WriteFile(path, []byte(strings.Join(lines[:len(lines)-2], "")), 0o600)) // the last one is the one learnt last
	loser = o.again(loser)
	if got := loser.Missing(); len(got) != 1 {
		t.Fatalf("%d statements are missing", len(got))
	}
	o.revoke(laptop, o.signer, thief.id)
	must(t, laptop.Issuance().Close(o.signer, trust.Closing{Signer: thief.id}))
	for _, f := range []*trust.Fleet{holder, loser} {
		o.learn(f, laptop.Exchange().Common()...)
	}

	ex := laptop.Exchange()
	if loser.Exchange().Digest(holderID.id) == holder.Exchange().Digest(loserID.id) {
		t.Error("a machine that has lost something seems to have the same as others")
	}
	ex.Seek(loser.Missing())
	if got := ex.Sought(10); !slices.Equal(got, loser.Missing()) {
		t.Errorf("the laptop looks for %d", len(got))
	}
	o.learn(laptop, holder.Exchange().Bodies(holderID.id, ex.Sought(10))...)
	if got := ex.Sought(10); len(got) != 0 {
		t.Errorf("the laptop still looks for %d", len(got))
	}
	o.learn(loser, ex.Bodies(loserID.id, loser.Missing())...)
	must(t, loser.Whole())
	must(t, laptop.May(friend.id, "deploy")) // it counts for nobody
	must(t, loser.May(friend.id, "deploy"))
}

// No more is looked for, or carried, than there is room for.
func TestCarriedIsBounded(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	const most = 1_000
	for range 3 {
		ids := make([]trust.ID, most)
		for i := range ids {
			rand.Read(ids[i][:]) // never fails
		}
		f.Exchange().Seek(ids)
		if got := f.Exchange().Sought(10 * most); len(got) != most {
			t.Errorf("it looks for %d, want %d", len(got), most)
		}
		f.Exchange().Seek(append(ids, trust.ID{1}))
		if got := f.Exchange().Sought(10 * most); len(got) != most {
			t.Errorf("of one more it looks for %d, want %d", len(got), most)
		}
	}
	if got := f.Exchange().Sought(3); len(got) != 3 {
		t.Errorf("asked for 3 it names %d", len(got))
	}
}

// What has its place on the disk has it after each start, whatever order the file is in.
func TestWhatIsKeptStaysKept(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	_, thief, c := o.stolen()
	friend := newPerson(t)
	paper := o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})
	o.learn(f, append(c, paper...)...)
	for range 4 {
		for range trust.MaxPerTarget {
			o.learn(f, o.revocation(thief, c[0], friend.id, paper...))
		}
		_, err := f.Issuance().Lift(o.signer, friend.id)
		must(t, err)
	}
	for range trust.MaxPerTarget {
		o.learn(f, o.revocation(thief, c[0], friend.id, paper...))
	}
	// As after the file was written anew: in another order.
	path := filepath.Join(f.Dir(), "statements")
	data, err := os.ReadFile(path)
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	slices.Reverse(lines[1:])
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	must(t, o.again(f).Whole())
}

// Two processes of a machine that each take the last for which there is room leave it whole.
func TestTwoProcessesAtABound(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(trust.MemoryDir(t), nil, nil)
	_, thief, c := o.stolen()
	o.learn(f, c...)
	victim := newPerson(t)
	paper := o.issue(o.second, trust.Grant{Subject: victim.id, Role: trust.RoleWorker, Name: "x"})
	for range trust.MaxPerTarget - 1 {
		o.learn(f, o.revocation(thief, c[0], victim.id, paper...))
	}
	other := o.again(f)
	path := filepath.Join(f.Dir(), "lock")
	_ = path
	// Neither has read what the other has written.
	a, b := o.revocation(thief, c[0], victim.id, paper...), o.revocation(thief, c[0], victim.id, paper...)
	trust.LearnUnsaved(t, other, b)
	o.learn(f, a)
	other.Learn()
	must(t, o.again(f).Whole())
}

// Kill -9 while the files are written anew, after a book was closed.
func TestKilledWhileForgettingAClosedBook(t *testing.T) {
	for _, at := range []string{"index", "statements"} {
		o := newOwner(t)
		f, _ := o.rig(t.TempDir(), nil, nil)
		s, thief, c := o.stolen()
		friend := newPerson(t)
		o.learn(f, c...)
		o.learn(f, o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})...)
		must(t, f.Issuance().Revoke(s, []peer.ID{friend.id}, nil))
		o.revoke(f, o.signer, thief.id)
		must(t, f.Issuance().Close(o.signer, trust.Closing{Signer: thief.id}))
		trust.RewriteKilled(t, f, at)
		for range 2 {
			if err := o.again(f).Whole(); err != nil {
				t.Errorf("killed at the %s: %v", at, err)
			}
		}
	}
}

// A reinstated signer revokes whom it had revoked often before its book was closed.
func TestReinstatedRevokesOnceMore(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	_, p, c := o.stolen()
	friend := newPerson(t)
	paper := o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})
	o.learn(f, append(c, paper...)...)
	for range trust.MaxPerTarget {
		o.learn(f, o.revocation(p, c[0], friend.id, paper...))
	}
	o.revoke(f, o.signer, p.id)
	must(t, f.Issuance().Close(o.signer, trust.Closing{Signer: p.id}))
	must(t, f.May(friend.id, "deploy"))
	chain, err := f.Issuance().Decide(o.signer, trust.Decision{Grant: laptop(p.id), Reinstate: true})
	must(t, err)
	if _, err := f.Learn(o.revocation(p, chain[0], friend.id, paper...)); err != nil || f.May(friend.id, "deploy") == nil {
		t.Errorf("the new revocation does not count: %v", err)
	}
}

// What a key says that the root has never named is not kept: not of a member, not of the machine
// itself, not of who says it.
func TestNobodysGrantsAreNotKept(t *testing.T) {
	o := newOwner(t)
	f, rig := o.rig(t.TempDir(), nil, nil)
	member, stranger := newPerson(t), newPerson(t)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: member.id, Role: trust.RoleWorker, Name: "x"})...)
	before := len(f.Grants(member.id)) + len(f.Grants(rig.id))
	for range 200 {
		nobody := newPerson(t)
		for _, p := range []peer.ID{member.id, rig.id, stranger.id} {
			f.Learn(trust.SealGrant(t, &trust.Grant{Fleet: o.root.Fleet(), By: nobody.id, Line: trust.Line{By: nobody.id, Serial: trust.NewSerial()},
				N: 1<<40 - 2, Subject: p, Role: trust.RoleWorker, Name: "y", Expires: 1, Paper: trust.NewSerial()}, nobody.key))
		}
	}
	if n := len(f.Grants(member.id)) + len(f.Grants(rig.id)); n != before {
		t.Errorf("%d papers of two members, %d before", n, before)
	}
	if _, known := f.Known(stranger.id); known {
		t.Error("the stranger is known by its own word")
	}
	next := trust.Grant{Subject: member.id}
	if err := f.Issuance().Number(o.second, &next); next.N > 10 || err != nil {
		t.Errorf("the next number is %d: %v", next.N, err)
	}
}

// A delegate's key says nothing about the numbers of those who never asked it.
func TestDelegateUsesUpNoNumbers(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	_, vps, c := o.limited("", "")
	member := newPerson(t)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: member.id, Role: trust.RoleWorker, Name: "x"})...)
	paper, err := o.root.Fleet().Open(c[0])
	must(t, err)
	for _, n := range []int64{1<<40 - 2, 1<<40 - 1} {
		o.learn(f, c[0], trust.SealGrant(t, &trust.Grant{Fleet: o.root.Fleet(), By: vps.id, Line: trust.Line{By: vps.id, Serial: trust.NewSerial()},
			N: n, Subject: member.id, Role: trust.RoleWorker, Name: "y", Expires: 1, Paper: paper.Grant.Line.Serial}, vps.key))
	}
	for n := range 20 {
		if _, err := f.Issuance().Decide(o.second, trust.Decision{Grant: trust.Grant{Subject: member.id, Role: trust.RoleWorker, Name: "x", Verbs: []string{}}}); err != nil {
			t.Fatalf("decision %d: %v", n+1, err)
		}
	}
}

// After the end of a thief who used up the numbers the honest issuer goes on to decide.
func TestNumbersComeBack(t *testing.T) {
	for _, first := range []string{"the machine renews", "a person decides"} {
		t.Run(first, func(t *testing.T) {
			o := newOwner(t)
			f, _ := o.rig(t.TempDir(), nil, nil)
			s, thief, c := o.stolen()
			x := newPerson(t)
			decide := func(by *trust.Signer) error {
				_, err := f.Issuance().Decide(by, trust.Decision{Grant: trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", Verbs: []string{}}})
				return err
			}
			o.learn(f, c...)
			o.learn(f, o.issue(o.second, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x"})...)
			o.learn(f, o.issue(s, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", N: 1<<40 - 2})...)
			switch first {
			case "the machine renews":
				f.Issuance().Renew(o.second, x.id)
			case "a person decides":
				decide(o.second)
			}
			o.revoke(f, o.signer, thief.id)
			for n := range 20 {
				if err := decide(o.second); err != nil {
					t.Fatalf("decision %d after the end: %v", n+1, err)
				}
			}
		})
	}
}

// Two keys of issuers cannot make up revocations without end: each as evidence for the other.
func TestTwoThievesRevokeNotWithoutEnd(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(trust.MemoryDir(t), nil, nil)
	_, thief, c := o.stolen()
	_, vps, limited := o.limited("", "")
	paper, err := o.root.Fleet().Open(limited[0])
	must(t, err)
	o.learn(f, c[0], limited[0])
	var batch [][]byte
	for n := range trust.MaxOwnRevoked + 100 {
		x := peer.ID("\x00\x24\x08\x01\x12\x20" + string(bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 16)))
		made := trust.SealGrant(t, &trust.Grant{Fleet: o.root.Fleet(), By: vps.id, Line: trust.Line{By: vps.id, Serial: trust.NewSerial()},
			N: 1, Subject: x, Role: trust.RoleWorker, Name: "x", Expires: 1, Paper: paper.Grant.Line.Serial}, vps.key)
		batch = append(batch, o.revocation(thief, c[0], x, limited[0], made))
	}
	_, err = f.Learn(batch...)
	wantErr(t, "revocations with made-up evidence", err, trust.ErrFull)
	if n := len(f.Revocations()); n > trust.MaxOwnRevoked {
		t.Errorf("%d are kept", n)
	}
}

// A made-up member with the right to admit brings in a made-up worker. When the thief who made it
// has ended, the worker waits for a person.
func TestWorkersOfAMadeUpSponsorAreUnconfirmed(t *testing.T) {
	for _, how := range []string{"peer", "line"} {
		o := newOwner(t)
		f, _ := o.rig(t.TempDir(), nil, nil)
		thief := newPerson(t)
		g := laptop(thief.id)
		g.MayIssue.Verbs = append(g.MayIssue.Verbs, trust.VerbAdmit) // as that of each laptop
		c := o.issue(o.signer, g)
		s, err := trust.NewIssuer(o.root.Fleet(), thief.key, c)
		must(t, err)
		gate, x, y := newPerson(t), newPerson(t), newPerson(t)
		o.learn(f, o.issue(s, trust.Grant{Subject: gate.id, Role: trust.RoleController, Name: "gate", Verbs: []string{trust.VerbAdmit}})...)
		o.learn(f, o.issue(o.second, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", Sponsor: gate.id})...)
		o.learn(f, o.issue(o.second, trust.Grant{Subject: y.id, Role: trust.RoleWorker, Name: "y", Sponsor: thief.id})...)
		if how == "peer" {
			o.revoke(f, o.signer, thief.id)
		} else {
			paper, err := o.root.Fleet().Open(c[0])
			must(t, err)
			must(t, f.Issuance().Revoke(o.signer, nil, []trust.Line{paper.Grant.Line}))
		}
		for _, p := range []person{x, y} {
			if m, _ := f.Known(p.id); m.Err != nil || !m.Unconfirmed {
				t.Errorf("the thief's %s was revoked; %s: unconfirmed %v, %v", how, m.Grant.Name, m.Unconfirmed, m.Err)
			}
		}
	}
}

// A label that a person gives confirms no rights: they end with the one whose ticket gave them.
func TestLabelConfirmsNoRights(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	night, puppet := newPerson(t), newPerson(t)
	o.learn(f, o.issue(o.signer, trust.Grant{Subject: night.id, Role: trust.RoleController, Name: "night", Verbs: []string{trust.AllVerbs, trust.VerbAdmit}})...)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: puppet.id, Role: trust.RoleController, Name: "puppet", Verbs: []string{trust.AllVerbs}, Sponsor: night.id})...)
	m, _ := f.Known(puppet.id)
	g := *m.Grant
	g.Labels = map[string]string{"site": "a"}
	_, err := f.Issuance().Decide(o.second, trust.Decision{Grant: g})
	must(t, err)
	must(t, f.May(puppet.id, "deploy"))
	o.revoke(f, o.second, night.id)
	wantErr(t, "after its sponsor", f.May(puppet.id, "deploy"), trust.ErrSponsorEnded)
}

// Who was brought in by a ticket is signed anew without an error.
func TestBroughtMemberIsRenewed(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	night, puppet := newPerson(t), newPerson(t)
	o.learn(f, o.issue(o.signer, trust.Grant{Subject: night.id, Role: trust.RoleController, Name: "night", Verbs: []string{trust.AllVerbs, trust.VerbAdmit}})...)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: puppet.id, Role: trust.RoleController, Name: "puppet", Verbs: []string{trust.AllVerbs}, Sponsor: night.id})...)
	_, err := f.Issuance().Renew(o.second, puppet.id)
	must(t, err)
}

// Made-up machines that show their grants, too, or are told of with them, keep no real one out.
func TestLargeFleetComesBackWhoeverShows(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(trust.MemoryDir(t), nil, nil)
	s, lost, _ := o.stolen()
	o.revoke(f, o.signer, lost.id)
	for range trust.MaxOrphans {
		p := newPerson(t).id
		f.Admit(p, o.issue(s, trust.Grant{Subject: p, Role: trust.RoleWorker, Name: "made-up"}))
	}
	for range 10 {
		p := newPerson(t)
		f.Admit(p.id, o.issue(s, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig"}))
		if _, err := f.Issuance().Renew(o.second, p.id); err != nil || !f.Member(p.id) {
			t.Fatalf("it is lost: %v", err)
		}
	}
}

// Made-up machines that were signed anew by themselves keep no real one out of a full fleet.
func TestUnconfirmedKeepNobodyOut(t *testing.T) {
	m := trust.NewFull(t)
	if err := m.Show("rig"); err != nil {
		t.Error(err)
	}
	if err := m.Tell("another that was told of"); err == nil {
		t.Error("who was only told of pushes out another")
	}
}

// Members that a thief names as each other's sponsors, or as their own, are judged all the same; and the
// workers of a good member whom another brought in are good.
func TestSponsorsInACircle(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	a, b, night, gate, x := newPerson(t), newPerson(t), newPerson(t), newPerson(t), newPerson(t)
	admit := []string{trust.VerbAdmit}
	for _, g := range []trust.Grant{
		{Subject: a.id, Role: trust.RoleWorker, Name: "a", Sponsor: b.id}, {Subject: b.id, Role: trust.RoleWorker, Name: "b", Sponsor: a.id},
		{Subject: night.id, Role: trust.RoleController, Name: "night", Verbs: admit},
		{Subject: gate.id, Role: trust.RoleController, Name: "gate", Verbs: admit, Sponsor: night.id},
		{Subject: x.id, Role: trust.RoleWorker, Name: "x", Sponsor: gate.id},
	} {
		o.learn(f, o.issue(o.signer, g)...)
	}
	for _, m := range f.Members() {
		if m.Err != nil || m.Unconfirmed {
			t.Errorf("%s: unconfirmed %v, %v", m.Grant.Name, m.Unconfirmed, m.Err)
		}
	}
	o.revoke(f, o.second, night.id)
	if m, _ := f.Known(x.id); !m.Unconfirmed {
		t.Error("it is confirmed after the end of the one who began this")
	}
}

// What never counts hides no new grant from those who compare what they have.
func TestJunkHidesNoNewGrant(t *testing.T) {
	o := newOwner(t)
	rig, p := o.rig(t.TempDir(), nil, nil)
	other, _ := o.rig(t.TempDir(), nil, nil)
	_, vps, c := o.limited("", "")
	paper, err := o.root.Fleet().Open(c[0])
	must(t, err)
	junk := trust.SealGrant(t, &trust.Grant{Fleet: o.root.Fleet(), By: vps.id, Line: trust.Line{By: vps.id, Serial: trust.NewSerial()},
		N: 1<<40 - 1, Subject: p.id, Role: trust.RoleWorker, Name: "y", Expires: 1, Paper: paper.Grant.Line.Serial}, vps.key)
	o.learn(other, rig.Chain()...)
	for _, f := range []*trust.Fleet{rig, other} {
		o.learn(f, c[0], junk)
	}
	before := other.Exchange().Digest(p.id)
	_, err = other.Issuance().Decide(o.second, trust.Decision{Grant: trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "new", Verbs: []string{}}})
	must(t, err)
	if other.Exchange().Digest(p.id) == before {
		t.Error("the new grant makes no difference")
	}
}

// The root signs also for whom a thief that goes on has signed with the highest number.
func TestRootGoesBeyondEveryNumber(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	s, _, _ := o.stolen()
	x := newPerson(t)
	o.learn(f, o.issue(s, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", N: trust.MaxDelegated - 1})...)
	for range 2 {
		_, err := f.Issuance().Decide(o.signer, trust.Decision{Grant: trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", Verbs: []string{}}})
		must(t, err)
	}
	_, err := f.Issuance().Renew(o.second, x.id)
	wantErr(t, "beyond the root's number", err, trust.ErrNeedsPerson)
}
