package trust_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// person is a key with its peer ID.
type person struct {
	key crypto.PrivKey
	id  peer.ID
}

func newPerson(t testing.TB) person {
	t.Helper()
	key, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	must(t, err)
	id, err := peer.IDFromPublicKey(pub)
	must(t, err)
	return person{key, id}
}

// owner is a fleet with its root and an issuer for all.
type owner struct {
	t      testing.TB
	root   *trust.Root
	signer *trust.Signer
	issuer person
	chain  trust.Chain
	second *trust.Signer // the issuer's
}

func newOwner(t testing.TB) *owner {
	t.Helper()
	root, err := trust.NewRoot()
	must(t, err)
	o := &owner{t: t, root: root, issuer: newPerson(t)}
	o.signer, err = root.Signer()
	must(t, err)
	o.chain = o.issue(o.signer, laptop(o.issuer.id))
	o.second, err = trust.NewIssuer(root.Fleet(), o.issuer.key, o.chain)
	must(t, err)
	return o
}

// laptop is the grant of an issuer for all.
func laptop(p peer.ID) trust.Grant {
	return trust.Grant{
		Subject: p, Role: trust.RoleIssuer, Name: "laptop",
		Verbs: []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke},
		MayIssue: &trust.Bounds{ForAll: true, Verbs: []string{trust.AllVerbs},
			Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer, trust.RoleController, trust.RoleRelay}},
	}
}

func (o *owner) issue(s *trust.Signer, g trust.Grant) trust.Chain {
	o.t.Helper()
	c, err := s.Issue(g, time.Now())
	must(o.t, err)
	return c
}

// rig makes the fleet of a worker.
func (o *owner) rig(dir string, labels map[string]string, change func(*trust.FleetConfig)) (*trust.Fleet, person) {
	o.t.Helper()
	p := newPerson(o.t)
	cfg := trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: p.id}
	if change != nil {
		change(&cfg)
	}
	return o.join(cfg, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig", Labels: labels})), p
}

func (o *owner) join(cfg trust.FleetConfig, c trust.Chain) *trust.Fleet {
	o.t.Helper()
	f, err := trust.CreateFleet(cfg, trust.Membership{Fleet: o.root.Fleet(), Name: "home", Chain: c}, nil)
	must(o.t, err)
	return f
}

func (o *owner) learn(f *trust.Fleet, statements ...[]byte) {
	o.t.Helper()
	_, err := f.Learn(statements...)
	must(o.t, err)
}

func (o *owner) revoke(f *trust.Fleet, s *trust.Signer, p peer.ID) {
	o.t.Helper()
	must(o.t, f.Issuance().Revoke(s, []peer.ID{p}, nil))
}

// limited is an issuer with rights of its own on some machines, who may let workers in.
func (o *owner) limited(names, on string, verbs ...string) (*trust.Signer, person, trust.Chain) {
	o.t.Helper()
	p := newPerson(o.t)
	c := o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleIssuer, Name: "vps", Verbs: append([]string{}, verbs...), On: on,
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}, Names: names}})
	s, err := trust.NewIssuer(o.root.Fleet(), p.key, c)
	must(o.t, err)
	return s, p, c
}

// invited is a grant for a peer that has asked the issuer.
func (o *owner) invited(s *trust.Signer, by, p person, g trust.Grant) trust.Chain {
	o.t.Helper()
	g.Subject, g.Line = p.id, trust.TicketLine(o.root.Fleet(), by.id, p.id, trust.NewSerial())
	accept, err := o.root.Fleet().Accept(g.Line, p.key)
	must(o.t, err)
	g.Accept = accept
	return o.issue(s, g)
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestFleetMay(t *testing.T) {
	o, other := newOwner(t), newOwner(t)
	gpu := map[string]string{"gpu": "3080"}
	hour := time.Now().Add(time.Hour).UnixMilli()
	controller := trust.Grant{Role: trust.RoleController, Name: "c"}
	with := func(change func(*trust.Grant)) trust.Grant {
		g := controller
		change(&g)
		return g
	}
	tests := []struct {
		name  string
		grant trust.Grant
		by    *owner
		verb  string
		err   error
		known bool // 403 and not 401
	}{
		{name: "controller", grant: controller, verb: "miner.control"},
		{name: "controller may not admit", grant: controller, verb: trust.VerbAdmit, err: trust.ErrVerb, known: true},
		{name: "viewer reads", grant: trust.Grant{Role: trust.RoleViewer, Name: "v"}, verb: "stats.read"},
		{name: "viewer starts", grant: trust.Grant{Role: trust.RoleViewer, Name: "v"}, verb: "miner.control", err: trust.ErrVerb, known: true},
		{name: "worker", grant: trust.Grant{Role: trust.RoleWorker, Name: "w"}, verb: "stats.read", err: trust.ErrVerb, known: true},
		{name: "its machines", grant: with(func(g *trust.Grant) { g.On = "gpu=3080" }), verb: "deploy"},
		{name: "other machines", grant: with(func(g *trust.Grant) { g.On = "gpu=4090" }), verb: "deploy", err: trust.ErrSelector, known: true},
		{name: "expired", grant: with(func(g *trust.Grant) { g.Expires = time.Now().Add(-time.Minute).UnixMilli() }), verb: "deploy", err: trust.ErrExpired},
		{name: "signed in an hour", grant: with(func(g *trust.Grant) { g.Expires = 2 * hour }), verb: "deploy"},
		{name: "other fleet", grant: controller, by: other, verb: "deploy", err: trust.ErrOtherFleet},
		{name: "a right for an hour", grant: trust.Grant{Role: trust.RoleViewer, Name: "v",
			Also: []trust.Right{{Verbs: []string{"deploy"}, Expires: hour}}}, verb: "deploy"},
		{name: "a right that is over", grant: trust.Grant{Role: trust.RoleViewer, Name: "v",
			Also: []trust.Right{{Verbs: []string{"deploy"}, Expires: 1}}}, verb: "deploy", err: trust.ErrExpired},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f, _ := o.rig(t.TempDir(), gpu, nil)
			p, by := newPerson(t), o
			if tc.by != nil {
				by = tc.by
			}
			tc.grant.Subject = p.id
			_, admitted := f.Admit(p.id, o.issue(by.second, tc.grant))
			err := f.May(p.id, tc.verb)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("may: %v, want %v (admitted: %v)", err, tc.err, admitted)
			}
			over := strings.HasPrefix(tc.name, "a right")
			if d, ok := errors.AsType[*trust.Denied](err); err != nil && (!ok || d.Unauthenticated() == tc.known && !over || d.Reason == "") {
				t.Errorf("refusal %+v", d)
			}
			if want := tc.err == nil || tc.known || over; f.Member(p.id) != want {
				t.Errorf("member: want %v", want)
			}
		})
	}
}

func TestFleetStranger(t *testing.T) {
	o := newOwner(t)
	p, friend := newPerson(t), newPerson(t)
	f, _ := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Allow = []peer.ID{friend.id} })
	wantErr(t, "a stranger", f.May(p.id, "stats.read"), trust.ErrStranger)
	if f.Member(p.id) {
		t.Error("a stranger is a member")
	}
	if err := f.May(friend.id, "deploy"); err != nil || !f.Member(friend.id) {
		t.Errorf("the owner's friend: %v", err)
	}
	o.revoke(f, o.signer, friend.id)
	if err := f.May(friend.id, "deploy"); !errors.Is(err, trust.ErrRevokedPeer) || f.Member(friend.id) {
		t.Errorf("a revoked friend: %v", err)
	}
}

func TestFleetRevocation(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	f, rig := o.rig(dir, nil, nil)
	calls := 0
	stop := f.Notify(func() { calls++ })
	p := newPerson(t)
	chain := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})
	grant, err := f.Admit(p.id, chain)
	must(t, err)
	must(t, f.May(p.id, "deploy"))
	must(t, f.Issuance().Revoke(o.second, nil, []trust.Line{grant.Line}))
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrRevokedLine) || !f.Revoked(p.id) || calls != 1 {
		t.Errorf("revoked by its line: %v, %d calls", err, calls)
	}
	_, err = f.Admit(p.id, chain)
	wantErr(t, "shown again", err, trust.ErrRevokedLine)
	if news, err := f.Learn(f.Revocations()[0].Data); news || err != nil {
		t.Errorf("the same again: %v %v", news, err)
	}
	must(t, f.Issuance().Revoke(o.second, nil, []trust.Line{grant.Line})) // nothing is signed twice
	if n := len(f.Revocations()); n != 1 {
		t.Errorf("%d revocations", n)
	}
	stop()
	o.revoke(f, o.signer, o.issuer.id)
	if calls != 1 {
		t.Error("called after stop")
	}
	_, err = f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c", N: 2}))
	wantErr(t, "by a signer that has ended", err, trust.ErrSignerEnded)
	again, err := trust.OpenFleet(trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: rig.id})
	must(t, err)
	if err := again.May(p.id, "deploy"); err == nil || len(again.Revocations()) != 2 {
		t.Errorf("in the next process: %v", err)
	}
}

// The highest number of a peer's grants counts, whichever it shows, and whatever their dates.
func TestHighestNumberCounts(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	first, err := o.second.Issue(trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"}, time.Now().Add(time.Hour))
	must(t, err)
	second := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "c", N: 2})
	for _, c := range []trust.Chain{first, second, first} {
		_, err := f.Admit(p.id, c)
		must(t, err)
	}
	wantErr(t, "an older grant", f.May(p.id, "deploy"), trust.ErrVerb)
	if m, ok := f.Known(p.id); !ok || m.Grant.Role != trust.RoleViewer || m.Err != nil {
		t.Errorf("known: %+v", m)
	}
}

func TestFleetOwnGrant(t *testing.T) {
	o := newOwner(t)
	now := time.Now()
	f, rig := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Clock = func() time.Time { return now } })
	p := newPerson(t)
	chain, err := o.signer.Issue(trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c", Expires: now.AddDate(3, 0, 0).UnixMilli()}, now)
	must(t, err)
	now = now.AddDate(1, 1, 0) // the worker's own year is over
	_, err = f.Admit(p.id, chain)
	must(t, err)
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrOwnGrant) {
		t.Errorf("expired itself: %v", err)
	}
	renewed, err := f.Issuance().Renew(o.second, rig.id)
	must(t, err)
	if news, err := f.Learn(renewed...); news || err != nil {
		t.Errorf("the same again: %v %v", news, err)
	}
	must(t, f.May(p.id, "deploy"))
	if own := f.Self().Grant; own.Subject != rig.id || own.N != 2 || !f.Chain().Equal(renewed) {
		t.Errorf("own grant %+v", own)
	}
}

func TestFleetClocks(t *testing.T) {
	o := newOwner(t)
	real := time.Now()
	built := real.AddDate(0, -1, 0)
	now := time.Unix(1000, 0) // 1970
	f, _ := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Clock, c.Built = func() time.Time { return now }, built })
	if f.ClockSane() {
		t.Error("a clock of 1970 is believed")
	}
	p, old := newPerson(t), newPerson(t)
	_, err := f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"}))
	must(t, err)
	must(t, f.May(p.id, "deploy"))
	_, err = f.Admit(old.id, o.issue(o.signer, trust.Grant{Subject: old.id, Role: trust.RoleController, Name: "old", Expires: built.UnixMilli()}))
	wantErr(t, "expired before the floor", err, trust.ErrExpired)
	// Time goes on while a machine without a battery runs, and is kept.
	before := f.Now()
	now = now.Add(3 * time.Hour)
	if up := f.Now().Sub(before); up != 3*time.Hour {
		t.Errorf("after three hours it is %v later", up)
	}
	// A year ahead: grants are over, and count again when the clock is right.
	now = real.AddDate(1, 1, 0)
	wantErr(t, "a year ahead", f.May(p.id, "deploy"), trust.ErrExpired)
	now = real
	must(t, f.May(p.id, "deploy"))
	// The root signs in 2036: our time does not move, nor by what an issuer signs.
	for range 5 {
		q := newPerson(t)
		for _, s := range []*trust.Signer{o.signer, o.second} {
			c, err := s.Issue(trust.Grant{Subject: q.id, Role: trust.RoleViewer, Name: "v"}, real.AddDate(10, 0, 0))
			must(t, err)
			o.learn(f, c...)
		}
	}
	if ahead := f.Now().Sub(real); ahead != 0 {
		t.Errorf("the floor is %v ahead", ahead)
	}
}

// The floor holds what the root has signed when the clock is set back, and a program's date.
func TestFloor(t *testing.T) {
	o := newOwner(t)
	real := time.Now()
	now := real.AddDate(0, 6, 0)
	f, rig := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Clock = func() time.Time { return now } })
	c, err := o.signer.Issue(trust.Grant{Subject: newPerson(t).id, Role: trust.RoleViewer, Name: "v"}, now)
	must(t, err)
	o.learn(f, c...)
	now = real // it is set back
	cfg := trust.FleetConfig{Dir: f.Dir(), Self: rig.id, Clock: func() time.Time { return now }}
	for range 2 {
		again, err := trust.OpenFleet(cfg)
		must(t, err)
		if again.Now().Before(real.AddDate(0, 6, -1)) {
			t.Errorf("after a start it is %v", again.Now())
		}
	}
	cfg.Built = real.AddDate(1, 0, 0)
	newer, err := trust.OpenFleet(cfg)
	must(t, err)
	if newer.Now().Before(cfg.Built) {
		t.Errorf("by a newer program it is %v", newer.Now())
	}
}

func TestFleetLeave(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	f, rig := o.rig(dir, nil, nil)
	cfg := trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: rig.id}
	_, err := trust.CreateFleet(cfg, trust.Membership{Fleet: f.ID(), Name: "home", Chain: f.Chain()}, nil)
	wantErr(t, "joined twice", err, trust.ErrInFleet)
	other, err := trust.OpenFleet(cfg)
	must(t, err)
	if f.Left() {
		t.Error("left before")
	}
	must(t, trust.LeaveFleet(f.Dir()))
	if !f.Left() {
		t.Error("not left")
	}
	wantErr(t, "left twice", trust.LeaveFleet(f.Dir()), trust.ErrNoFleet)
	wantErr(t, "another process reloads", other.Reload(), trust.ErrNoFleet)
	wantErr(t, "another process revokes", other.Issuance().Revoke(o.signer, []peer.ID{newPerson(t).id}, nil), trust.ErrNoFleet)
	_, err = trust.OpenFleet(cfg)
	wantErr(t, "open", err, trust.ErrNoFleet)
}

// Several processes use one directory: what one signs or hears the others read, nothing is lost
// or written twice, and numbers follow each other.
func TestSeveralProcesses(t *testing.T) {
	o := newOwner(t)
	first, rig := o.rig(t.TempDir(), nil, nil)
	cfg := trust.FleetConfig{Dir: first.Dir(), Self: rig.id}
	second, err := trust.OpenFleet(cfg)
	must(t, err)
	p := newPerson(t)
	var errs [2]error
	done := make(chan struct{})
	for i, f := range []*trust.Fleet{first, second} {
		go func() {
			for n := range 10 {
				_, err := f.Issuance().Decide(o.second, trust.Decision{Grant: trust.Grant{Subject: p.id, Role: trust.RoleController, Name: fmt.Sprintf("c-%d-%d", i, n)}})
				if err != nil && !errors.Is(err, trust.ErrOutranked) { // the other one was quicker
					errs[i] = errors.Join(errs[i], err)
				}
				errs[i] = errors.Join(errs[i], f.Issuance().Revoke(o.signer, []peer.ID{newPerson(t).id}, nil))
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	must(t, errors.Join(errs[:]...))
	must(t, errors.Join(first.Reload(), second.Reload()))
	third, err := trust.OpenFleet(cfg)
	must(t, err)
	for _, f := range []*trust.Fleet{first, second, third} {
		m, _ := f.Known(p.id)
		if m.Err != nil || m.Grant.N != 20 || len(f.Revocations()) != 20 || f.Whole() != nil {
			t.Errorf("n=%d, %d revocations, %v", m.Grant.N, len(f.Revocations()), errors.Join(m.Err, f.Whole()))
		}
	}
}

// What cannot be written counts all the same, and is written when that works again.
func TestStatementIsSavedLater(t *testing.T) {
	for name, again := range map[string]func(*trust.Fleet, []byte) error{
		"brought again": func(f *trust.Fleet, st []byte) error { _, err := f.Learn(st); return err },
		"at any learn":  func(f *trust.Fleet, _ []byte) error { _, err := f.Learn(); return err },
		"at a reload":   func(f *trust.Fleet, _ []byte) error { return f.Reload() },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t)
			f, rig := o.rig(t.TempDir(), nil, nil)
			other, _ := o.rig(t.TempDir(), nil, nil)
			p := newPerson(t)
			o.revoke(other, o.signer, p.id)
			rev := other.Revocations()[0].Data
			lock := filepath.Join(f.Dir(), "lock")
			must(t, errors.Join(os.RemoveAll(lock), os.Mkdir(lock, 0o700))) // in the way of the file
			for range 2 {
				if _, err := f.Learn(rev); !errors.Is(err, trust.ErrNotSaved) || !f.Revoked(p.id) {
					t.Errorf("while it cannot be written: %v, revoked: %v", err, f.Revoked(p.id))
				}
			}
			must(t, os.Remove(lock))
			must(t, again(f, rev))
			next, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: rig.id})
			must(t, err)
			if !next.Revoked(p.id) {
				t.Error("in the next process it is forgotten")
			}
		})
	}
}

// Who may replace whose grant: numbers decide among those for all; an issuer that is not touches
// only what it began.
func TestWhoReplacesWhom(t *testing.T) {
	o := newOwner(t)
	vps, vpsKey, _ := o.limited("", "")
	worker := trust.Grant{Role: trust.RoleWorker, Name: "rig", Verbs: []string{}}
	for _, tc := range []struct {
		name     string
		old, new *trust.Signer
		invited  bool // by the vps
		err      error
	}{
		{"the laptop replaces its own", o.second, o.second, false, nil},
		{"the laptop replaces the root's", o.signer, o.second, false, nil},
		{"the root replaces the laptop's", o.second, o.signer, false, nil},
		{"the laptop takes over what the vps let in", vps, o.second, true, nil},
		{"the vps renames what it let in", vps, vps, true, nil},
		{"the vps takes the laptop's", o.second, vps, false, trust.ErrIssuer},
		{"the vps takes the root's", o.signer, vps, false, trust.ErrIssuer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _ := o.rig(t.TempDir(), nil, nil)
			p := newPerson(t)
			old := worker
			old.Subject = p.id
			c := trust.Chain(nil)
			if tc.invited {
				c = o.invited(vps, vpsKey, p, old)
			} else {
				c = o.issue(tc.old, old)
			}
			_, err := f.Admit(p.id, c)
			must(t, err)
			next := old
			next.Name = "new"
			_, err = f.Issuance().Decide(tc.new, trust.Decision{Grant: next})
			wantErr(t, "decide", err, tc.err)
			if m, _ := f.Known(p.id); m.Err != nil || (m.Grant.Name == "new") != (tc.err == nil) {
				t.Errorf("known: %+v", m.Grant)
			}
			_, err = f.Issuance().Decide(tc.new, trust.Decision{Grant: laptop(p.id)})
			if tc.new != o.signer {
				wantErr(t, "makes an issuer", err, trust.ErrDepth)
			}
		})
	}
}

// Rights follow labels, so an issuer with rights on some machines must not label others into them.
func TestIssuerLabelsNothingIntoItsRights(t *testing.T) {
	o := newOwner(t)
	on, key, _ := o.limited("", "site=a", "deploy")
	for site, want := range map[string]error{"a": nil, "b": trust.ErrIssuer} {
		p := newPerson(t)
		line := trust.TicketLine(o.root.Fleet(), key.id, p.id, "t")
		_, err := on.Issue(trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "new", Labels: map[string]string{"site": site}, Line: line,
			Accept: mustBytes(t)(o.root.Fleet().Accept(line, p.key))}, time.Now())
		wantErr(t, "site "+site, err, want)
	}
}

// Statements count the same in whatever order they come, and however often.
func TestOrderDoesNotMatter(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p, q := newPerson(t), newPerson(t)
	for _, c := range []trust.Chain{o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "p"}), o.issue(o.signer, trust.Grant{Subject: q.id, Role: trust.RoleController, Name: "q"})} {
		o.learn(f, c...)
	}
	o.revoke(f, o.second, p.id)
	_, err := f.Issuance().Lift(o.signer, p.id)
	must(t, err)
	o.revoke(f, o.second, p.id)
	all := f.Exchange().Common()
	for _, peer := range []peer.ID{p.id, q.id} {
		m, _ := f.Known(peer)
		all = append(all, m.Chain...)
	}
	for turn := range len(all) {
		other, _ := o.rig(t.TempDir(), nil, nil)
		for i := range all {
			_, err := other.Learn(all[(i*5+turn)%len(all)], all[(i+turn)%len(all)])
			must(t, err)
		}
		if other.May(p.id, "deploy") == nil || other.May(q.id, "deploy") != nil {
			t.Errorf("order %d: %v, %v", turn, other.May(p.id, "deploy"), other.May(q.id, "deploy"))
		}
	}
}
