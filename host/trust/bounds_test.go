package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// A thief's revocations are few: of one target so many, and so many in lines that it made up.
func TestRevocationsAreBounded(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	chain := o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})
	revocation := func(e [][]byte, p peer.ID) []byte {
		return trust.SealRevocation(t, &trust.Revocation{Fleet: o.root.Fleet(), By: o.issuer.id, Peer: p, Paper: o.chain[0], Evidence: e, Nonce: trust.NewSerial(), Issued: 1}, o.issuer.key)
	}
	for n := range trust.MaxPerTarget + 1 {
		_, err := f.Learn(revocation(chain, p.id))
		if want := n < trust.MaxPerTarget; (err == nil) != want || err != nil && !errors.Is(err, trust.ErrFull) {
			t.Errorf("revocation %d of one target: %v", n+1, err)
		}
	}
	// The root is not bounded, and what it lifts frees the target.
	o.revoke(f, o.signer, p.id)
	if n, err := f.Issuance().Lift(o.signer, p.id); n != trust.MaxPerTarget+1 || err != nil {
		t.Errorf("lifted %d: %v", n, err)
	}
	o.learn(f, chain...)
	must(t, f.May(p.id, "deploy"))
	must(t, f.Issuance().Revoke(o.signer, []peer.ID{p.id}, nil))
}

// Who has the key of an issuer that was thrown out can make up members without end: few of them
// are kept.
func TestFewOrphansAreKept(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	vps, thief, paper := o.limited("", "")
	o.learn(f, paper...)
	before := len(f.Members())
	o.revoke(f, o.signer, thief.id)
	var all [][]byte
	for range trust.MaxOrphans + 5 {
		p := newPerson(t)
		c := o.invited(vps, thief, p, trust.Grant{Role: trust.RoleWorker, Name: "x"})
		all = append(all, c[1])
	}
	if _, err := f.Learn(all...); !errors.Is(err, trust.ErrFull) {
		t.Errorf("%d of an ended signer: %v", len(all), err)
	}
	if n := len(f.Members()) - before; n != trust.MaxOrphans {
		t.Errorf("%d are kept, want %d", n, trust.MaxOrphans)
	}
	p := newPerson(t)
	_, err := f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "x"}))
	must(t, err)
}

// Of one signer few grants of a member are kept: the first, and the highest.
func TestFewGrantsOfOneSignerAreKept(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	for n := int64(1); n <= 20; n++ {
		role := trust.RoleViewer
		if n == 20 {
			role = trust.RoleController
		}
		o.learn(f, o.issue(o.second, trust.Grant{Subject: p.id, Role: role, Name: "c", N: n})...)
		if n := len(f.Grants(p.id)); n > trust.MaxPerSigner {
			t.Fatalf("%d are kept", n)
		}
	}
	must(t, f.May(p.id, "deploy"))
}

// A thief of a key that was brought back cannot push out what the key signs in its new line, by
// signing with higher numbers in the line that has ended.
func TestEndedLinePushesNothingOut(t *testing.T) {
	o := newOwner(t)
	rig, p := newPerson(t), newPerson(t)
	f := o.join(trust.FleetConfig{Dir: t.TempDir(), Self: rig.id}, o.issue(o.signer, trust.Grant{Subject: rig.id, Role: trust.RoleWorker, Name: "rig"}))
	o.learn(f, o.chain[0])
	evil := func(n int64) {
		t.Helper()
		o.learn(f, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "evil", N: n})...)
	}
	evil(1)
	for range 2 * trust.MaxPerSigner {
		evil(trust.MaxDelegated - 1)
	}
	o.revoke(f, o.signer, o.issuer.id)
	c, err := f.Issuance().Decide(o.signer, trust.Decision{Grant: laptop(o.issuer.id), Reinstate: true})
	must(t, err)
	s, err := trust.NewIssuer(o.root.Fleet(), o.issuer.key, c)
	must(t, err)
	good, err := f.Issuance().Decide(s, trust.Decision{Grant: trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "good"}})
	must(t, err)
	for range 2 * trust.MaxPerSigner {
		evil(trust.MaxDelegated - 1)
		if err := f.May(p.id, "deploy"); err != nil {
			t.Fatalf("what counts was pushed out: %v", err)
		}
	}
	o.learn(f, good...)
	if n := len(f.Grants(p.id)); n > trust.MaxPerSigner {
		t.Errorf("%d are kept", n)
	}
}

// A thief that relabels a machine with many grants does not make its honest one forgotten: that they
// differ is known, so that a person looks.
func TestManyGrantsHideNoOther(t *testing.T) {
	o := newOwner(t)
	honest := map[string]string{"site": "a"}
	f, rig := o.rig(t.TempDir(), honest, nil) // its own grants
	other, _ := o.rig(t.TempDir(), nil, nil)  // and those that another machine has of it
	o.learn(other, f.Chain()...)
	for n := range 100 {
		c := o.issue(o.second, trust.Grant{Subject: rig.id, Role: trust.RoleWorker, Name: "rig", Labels: map[string]string{"site": "b"}, N: int64(n/2 + 1)})
		o.learn(f, c...)
		o.learn(other, c...)
	}
	next := newPerson(t)
	c := o.issue(o.signer, laptop(next.id))
	s, err := trust.NewIssuer(o.root.Fleet(), next.key, c)
	must(t, err)
	for _, f := range []*trust.Fleet{f, other} {
		o.learn(f, c...)
		o.revoke(f, o.signer, o.issuer.id)
		_, err := f.Issuance().Renew(s, rig.id)
		wantErr(t, "signed anew by itself", err, trust.ErrNeedsPerson)
	}
}

// A machine that has lost more than one lift names is not lost for good.
func TestWaiverOfMany(t *testing.T) {
	o := newOwner(t)
	f, rig := o.rig(t.TempDir(), nil, nil)
	ids := make([]trust.ID, 3001)
	for i := range ids {
		ids[i] = trust.ID{byte(i), byte(i >> 8), 1}
	}
	must(t, f.Issuance().Waive(o.signer, rig.id, ids))
	if n := len(f.Lifts()); n != 2 {
		t.Errorf("%d lifts", n)
	}
}

// One damaged line among many costs what it said, and nothing else.
func TestOneDamagedLineOfMany(t *testing.T) {
	o := newOwner(t)
	f, rig := o.rig(trust.MemoryDir(t), nil, nil)
	var all [][]byte
	for range 300 {
		all = append(all, o.issue(o.second, trust.Grant{Subject: newPerson(t).id, Role: trust.RoleWorker, Name: "x"})...)
	}
	o.learn(f, all...)
	before := len(f.Members())
	path := filepath.Join(f.Dir(), "statements")
	data, err := os.ReadFile(path)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
	again, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: rig.id})
	must(t, err)
	if n := len(again.Members()); n != before-1 || again.Whole() != nil {
		t.Errorf("%d of %d members, %v", n, before, again.Whole())
	}
}

// What the root has lifted by name takes no room: who is revoked and let in again many times can be
// revoked once more.
func TestLiftedRevocationsTakeNoRoom(t *testing.T) {
	o := newOwner(t)
	f, rig := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	o.learn(f, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})...)
	for range 2 * trust.MaxPerTarget {
		must(t, f.May(p.id, "deploy"))
		o.revoke(f, o.second, p.id)
		wantErr(t, "revoked", f.May(p.id, "deploy"), trust.ErrRevokedPeer)
		if n, err := f.Issuance().Lift(o.signer, p.id); n != 1 || err != nil {
			t.Fatalf("lifted %d: %v", n, err)
		}
	}
	// All of it has its place again in the next process, and on another machine.
	again, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: rig.id})
	must(t, err)
	other, _ := o.rig(t.TempDir(), nil, nil)
	o.learn(other, f.Exchange().Common()...)
	for _, f := range []*trust.Fleet{again, other} {
		if err := f.Whole(); err != nil || len(f.Revocations()) != 2*trust.MaxPerTarget {
			t.Errorf("%d revocations: %v", len(f.Revocations()), err)
		}
	}
}
