package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// stolen is another issuer for all, whose key a thief has.
func (o *owner) stolen() (*trust.Signer, person, trust.Chain) {
	o.t.Helper()
	p := newPerson(o.t)
	c := o.issue(o.signer, laptop(p.id))
	s, err := trust.NewIssuer(o.root.Fleet(), p.key, c)
	must(o.t, err)
	return s, p, c
}

// A thief that writes an honest issuer into its work as the one on whose word it stands is named
// beside it by whoever signs that anew.
func TestMadeUpOriginConfirmsNothing(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	s, thief, _ := o.stolen()
	honest, err := o.root.Fleet().Open(o.chain[0])
	must(t, err)
	x := newPerson(t)
	o.learn(f, o.issue(s, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x",
		Origins: []trust.Origin{{By: o.issuer.id, Paper: honest.Grant.Line.Serial}}})...)
	o.revoke(f, o.signer, thief.id)
	_, err = f.Issuance().Renew(o.second, x.id)
	must(t, err)
	if m, _ := f.Known(x.id); m.Err != nil || !m.Unconfirmed {
		t.Errorf("unconfirmed %v, %v", m.Unconfirmed, m.Err)
	}
}

// A machine that a member's ticket brought is looked at again when that member was revoked.
func TestWorkersOfARevokedSponsorAreUnconfirmed(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	gate, x := newPerson(t), newPerson(t)
	o.learn(f, o.issue(o.signer, trust.Grant{Subject: gate.id, Role: trust.RoleViewer, Name: "gate", Verbs: []string{trust.VerbAdmit}})...)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", Sponsor: gate.id})...)
	for _, revoked := range []bool{false, true} {
		if revoked {
			o.revoke(f, o.signer, gate.id)
		}
		if m, _ := f.Known(x.id); m.Err != nil || m.Unconfirmed != revoked {
			t.Errorf("its sponsor revoked %v: unconfirmed %v, %v", revoked, m.Unconfirmed, m.Err)
		}
	}
}

// An issuer that was brought back revokes again, and is ended again.
func TestReinstatedIssuer(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	_, p, c := o.stolen()
	friend, other := newPerson(t), newPerson(t)
	for _, q := range []peer.ID{friend.id, other.id} {
		o.learn(f, o.issue(o.second, trust.Grant{Subject: q, Role: trust.RoleController, Name: "friend"})...)
	}
	o.learn(f, c...)
	o.revoke(f, o.signer, p.id)
	must(t, f.Issuance().Close(o.signer, trust.Closing{Signer: p.id}))
	chain, err := f.Issuance().Decide(o.signer, trust.Decision{Grant: laptop(p.id), Reinstate: true})
	must(t, err)
	s, err := trust.NewIssuer(o.root.Fleet(), p.key, chain)
	must(t, err)
	must(t, f.Issuance().Revoke(s, []peer.ID{friend.id}, nil))
	if !f.Revoked(friend.id) {
		t.Error("its revocations do not count any more")
	}
	must(t, f.Issuance().Revoke(o.signer, []peer.ID{p.id}, nil))
	if f.Member(p.id) {
		t.Error("it is not ended again")
	}
}

// Numbers in what a thief has signed do not bind those who sign after its end.
func TestNumbersOfEndedSignersDoNotBind(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	s, thief, _ := o.stolen()
	x := newPerson(t)
	o.learn(f, o.issue(s, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", N: 1<<40 - 2})...)
	o.revoke(f, o.signer, thief.id)
	for range 5 {
		_, err := f.Issuance().Decide(o.second, trust.Decision{Grant: trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", Verbs: []string{}}})
		must(t, err)
	}
	if m, _ := f.Known(x.id); m.Grant.N > 10 {
		t.Errorf("n=%d", m.Grant.N)
	}
}

// The thief of an ended key makes up grants as fast as it can: few stay, and the disk does not fill.
func TestMadeUpGrantsFillNoDisk(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(trust.MemoryDir(t), nil, nil)
	s, thief, c := o.stolen()
	o.learn(f, c...)
	o.revoke(f, o.signer, thief.id)
	x := newPerson(t)
	for n := range int64(3_000) {
		c := o.issue(s, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x", N: n + 1})
		f.Learn(c...) // there is room for a few
	}
	info, err := os.Stat(filepath.Join(f.Dir(), "statements"))
	must(t, err)
	if most := int64(2 << 20); info.Size() > most {
		t.Errorf("%d bytes, want %d at most", info.Size(), most)
	}
}

// More machines than the orphans of one signer have room for: each that shows its grant gets in, and
// is signed anew.
func TestLargeFleetComesBack(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(trust.MemoryDir(t), nil, nil)
	s, lost, _ := o.stolen()
	o.revoke(f, o.signer, lost.id)
	for range trust.MaxOrphans { // made up, and told of first
		o.learn(f, o.issue(s, trust.Grant{Subject: newPerson(t).id, Role: trust.RoleWorker, Name: "made-up"})...)
	}
	for range 40 {
		p := newPerson(t)
		if _, err := f.Admit(p.id, o.issue(s, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig"})); err == nil {
			t.Fatal("it is a member at once")
		}
		if _, err := f.Issuance().Renew(o.second, p.id); err != nil || !f.Member(p.id) {
			t.Fatalf("it is lost: %v", err)
		}
	}
}

// What another process has written while this one was writing, too, is not passed over.
func TestNothingIsPassedOver(t *testing.T) {
	o := newOwner(t)
	p := newPerson(t)
	cfg := trust.FleetConfig{Dir: filepath.Join(t.TempDir(), "fleet"), Self: p.id}
	serve := o.join(cfg, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "laptop"}))
	command, err := trust.OpenFleet(cfg)
	must(t, err)
	evil, x := newPerson(t), newPerson(t)
	o.learn(serve, o.issue(o.second, trust.Grant{Subject: evil.id, Role: trust.RoleController, Name: "evil"})...)
	o.revoke(command, o.signer, evil.id)
	o.learn(serve, o.issue(o.second, trust.Grant{Subject: x.id, Role: trust.RoleWorker, Name: "x"})...)
	must(t, serve.Reload())
	if !serve.Revoked(evil.id) || serve.MaySend(evil.id, true) == nil {
		t.Error("the revocation was passed over")
	}
}

// Where no grant of a signer is known its book would be closed for ever, also for what it signs after
// it was brought back: a person has to say so.
func TestClosingAnUnknownBook(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	_, p, c := o.stolen()
	friend := newPerson(t)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: friend.id, Role: trust.RoleController, Name: "friend"})...)
	o.revoke(f, o.signer, p.id)
	err := f.Issuance().Close(o.signer, trust.Closing{Signer: p.id})
	if b, ok := errors.AsType[*trust.Blocked](err); !ok || b.Need != trust.NeedGrant || !errors.Is(err, trust.ErrStranger) || len(f.Lifts()) > 0 {
		t.Errorf("closed unseen: %v, %d lifts", err, len(f.Lifts()))
	}
	o.learn(f, c...) // a member that has it is met
	must(t, f.Issuance().Close(o.signer, trust.Closing{Signer: p.id}))
	chain, err := f.Issuance().Decide(o.signer, trust.Decision{Grant: laptop(p.id), Reinstate: true})
	must(t, err)
	s, err := trust.NewIssuer(o.root.Fleet(), p.key, chain)
	must(t, err)
	must(t, f.Issuance().Revoke(s, []peer.ID{friend.id}, nil))
	if !f.Revoked(friend.id) {
		t.Error("what it revokes after it was brought back does not count")
	}

	other, _ := o.rig(t.TempDir(), nil, nil)
	must(t, other.Issuance().Close(o.signer, trust.Closing{Signer: p.id, Unknown: true}))
	if l := other.Lifts(); len(l) != 1 || len(l[0].Lift.Lines) != 0 {
		t.Errorf("%+v", l)
	}
}
