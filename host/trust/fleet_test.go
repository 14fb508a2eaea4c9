package trust_test

import (
	"crypto/rand"
	"errors"
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
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return person{key, id}
}

// owner is a fleet with its root and an issuer.
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
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{t: t, root: root, issuer: newPerson(t)}
	if o.signer, err = root.Signer(); err != nil {
		t.Fatal(err)
	}
	o.chain = o.issue(o.signer, trust.Grant{
		Subject: o.issuer.id, Role: trust.RoleIssuer, Name: "laptop",
		Verbs:    []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer, trust.RoleController, trust.RoleRelay}, Verbs: []string{trust.AllVerbs}},
	})
	if o.second, err = trust.NewIssuer(root.Fleet(), o.issuer.key, o.chain); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *owner) issue(s *trust.Signer, g trust.Grant) trust.Chain {
	o.t.Helper()
	c, err := s.Issue(g, time.Now())
	if err != nil {
		o.t.Fatal(err)
	}
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
	f, err := trust.CreateFleet(cfg, trust.Membership{
		Fleet: o.root.Fleet(), Name: "home",
		Chain: o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig", Labels: labels}),
	}, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return f, p
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
		{name: "not yet", grant: with(func(g *trust.Grant) { g.NotBefore, g.Expires = hour, hour+1 }), verb: "deploy", err: trust.ErrNotYetValid},
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
			_, admitted := f.Admit(p.id, o.issueBy(by, tc.grant))
			err := f.May(p.id, tc.verb)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("may: %v, want %v (admitted: %v)", err, tc.err, admitted)
			}
			if d, ok := errors.AsType[*trust.Denied](err); err != nil && (!ok || d.Unauthenticated() == tc.known || d.Reason == "") {
				t.Errorf("refusal %+v", d)
			}
			if want := tc.err == nil || tc.known || strings.HasPrefix(tc.name, "a right"); f.Member(p.id) != want {
				t.Errorf("member: want %v", want)
			}
		})
	}
}

func (o *owner) issueBy(by *owner, g trust.Grant) trust.Chain { return o.issue(by.second, g) }

func TestFleetStranger(t *testing.T) {
	o := newOwner(t)
	p := newPerson(t)
	friend := newPerson(t)
	f, _ := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Allow = []peer.ID{friend.id} })
	if err := f.May(p.id, "stats.read"); !errors.Is(err, trust.ErrStranger) {
		t.Errorf("a stranger: %v", err)
	}
	if f.Member(p.id) {
		t.Error("a stranger is a member")
	}
	if err := f.May(friend.id, "deploy"); err != nil || !f.Member(friend.id) {
		t.Errorf("the owner's friend: %v", err)
	}
	o.revoke(f, o.second, trust.Change{RevokePeers: []peer.ID{friend.id}})
	if err := f.May(friend.id, "deploy"); !errors.Is(err, trust.ErrRevokedPeer) || f.Member(friend.id) {
		t.Errorf("a revoked friend: %v", err)
	}
}

func (o *owner) revoke(f *trust.Fleet, s *trust.Signer, c trust.Change) []byte {
	o.t.Helper()
	rec, err := s.Revise(f.Records(), c, time.Now())
	if err != nil {
		o.t.Fatal(err)
	}
	if news, err := f.Merge(rec); err != nil || !news {
		o.t.Fatalf("merge: %v %v", news, err)
	}
	return rec
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
	if err != nil || f.May(p.id, "deploy") != nil {
		t.Fatal(err)
	}
	rec := o.revoke(f, o.second, trust.Change{RevokeSerials: []string{grant.Serial}})
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrRevokedSerial) || !f.Revoked(p.id) || calls != 1 {
		t.Errorf("revoked by serial: %v, %d calls", err, calls)
	}
	if _, err := f.Admit(p.id, chain); !errors.Is(err, trust.ErrRevokedSerial) {
		t.Errorf("shown again: %v", err)
	}
	if news, err := f.Merge(rec); news || err != nil {
		t.Errorf("the same again: %v %v", news, err)
	}
	stop()
	o.revoke(f, o.signer, trust.Change{RevokePeers: []peer.ID{o.issuer.id}})
	if calls != 1 {
		t.Error("called after stop")
	}
	worse := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})
	if _, err := f.Admit(p.id, worse); !errors.Is(err, trust.ErrRevokedIssuer) {
		t.Errorf("by a revoked issuer: %v", err)
	}
	// All of it is there in the next process.
	again, err := trust.OpenFleet(trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: rig.id})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.May(p.id, "deploy"); !errors.Is(err, trust.ErrRevokedSerial) && !errors.Is(err, trust.ErrRevokedIssuer) {
		t.Errorf("in the next process: %v", err)
	}
	if len(again.Records().Digests()) != 1 || !again.Records().Revoked().Serial(grant.Serial) {
		t.Errorf("the root's record does not hold what the issuer's had: %v", again.Records().Digests())
	}
}

// The newest grant of a peer counts, whichever it shows.
func TestFleetNewestGrantCounts(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	first, err := o.second.Issue(trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"}, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	second := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "c"})
	for _, c := range []trust.Chain{first, second, first} {
		if _, err := f.Admit(p.id, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrVerb) {
		t.Errorf("an older grant counts again: %v", err)
	}
	if m, ok := f.Known(p.id); !ok || m.Grant.Role != trust.RoleViewer || m.Err != nil || len(f.Members()) != 1 {
		t.Errorf("known: %+v", m)
	}
}

func TestFleetOwnGrant(t *testing.T) {
	o := newOwner(t)
	now := time.Now()
	f, rig := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) { c.Clock = func() time.Time { return now } })
	p := newPerson(t)
	chain, err := o.signer.Issue(trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c", Expires: now.AddDate(3, 0, 0).UnixMilli()}, now)
	if err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(1, 1, 0) // the worker's own year is over
	if _, err := f.Admit(p.id, chain); err != nil {
		t.Fatal(err)
	}
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrOwnGrant) || !strings.Contains(err.Error(), "swarm renew") {
		t.Errorf("expired itself: %v", err)
	}
	if _, err := f.Renewed(chain); !errors.Is(err, trust.ErrOtherPeer) {
		t.Errorf("another's grant: %v", err)
	}
	own := f.Self()
	renewed, err := o.second.Renew(own.Grant, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if news, err := f.Renewed(renewed); err != nil || news != want {
			t.Errorf("renewed: %v %v", news, err)
		}
	}
	if err := f.May(p.id, "deploy"); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	if f.Self().Grant.Subject != rig.id {
		t.Error("not its own grant")
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
	if _, err := f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})); err != nil {
		t.Errorf("with a clock of 1970: %v", err)
	}
	if err := f.May(p.id, "deploy"); err != nil {
		t.Errorf("with a clock of 1970: %v", err)
	}
	ended := trust.Grant{Subject: old.id, Role: trust.RoleController, Name: "old", NotBefore: 1, Expires: built.UnixMilli()}
	if _, err := f.Admit(old.id, o.issue(o.signer, ended)); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("expired before the floor: %v", err)
	}
	// A year ahead: grants are over, and count again when the clock is right.
	now = real.AddDate(1, 1, 0)
	if err := f.May(p.id, "deploy"); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("a year ahead: %v", err)
	}
	now = real
	if err := f.May(p.id, "deploy"); err != nil {
		t.Errorf("the clock is right again: %v", err)
	}
	// The root signs in 2036: our time moves a day at most, however often.
	for range 5 {
		rec, err := o.signer.Revise(f.Records(), trust.Change{RevokePeers: []peer.ID{newPerson(t).id}}, real.AddDate(10, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Merge(rec); err != nil {
			t.Fatal(err)
		}
	}
	if ahead := f.Now().Sub(real); ahead > 24*time.Hour || ahead < 23*time.Hour {
		t.Errorf("the floor is %v ahead", ahead)
	}
	o.revoke(f, o.signer, trust.Change{TimeFloor: real.Add(-time.Hour)})
	if ahead := f.Now().Sub(real); ahead != 0 {
		t.Errorf("the root lowered the floor, and it is %v ahead", ahead)
	}
}

func TestFleetLeave(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	f, rig := o.rig(dir, nil, nil)
	cfg := trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: rig.id}
	if _, err := trust.CreateFleet(cfg, trust.Membership{Fleet: f.ID(), Name: "home", Chain: f.Chain()}, nil); !errors.Is(err, trust.ErrInFleet) {
		t.Errorf("joined twice: %v", err)
	}
	if f.Left() {
		t.Error("left before")
	}
	if err := f.Leave(); err != nil || !f.Left() {
		t.Errorf("leave: %v", err)
	}
	if err := f.Leave(); !errors.Is(err, trust.ErrNoFleet) {
		t.Errorf("left twice: %v", err)
	}
	if _, err := trust.OpenFleet(cfg); !errors.Is(err, trust.ErrNoFleet) {
		t.Errorf("open: %v", err)
	}
}

// limited is an issuer with rights of its own on some machines, who may let workers in.
func (o *owner) limited(names, on string, verbs ...string) (*trust.Signer, person, trust.Chain) {
	o.t.Helper()
	p := newPerson(o.t)
	c := o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleIssuer, Name: "vps", Verbs: verbs, On: on,
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}, Names: names}})
	s, err := trust.NewIssuer(o.root.Fleet(), p.key, c)
	if err != nil {
		o.t.Fatal(err)
	}
	return s, p, c
}

// at signs a grant at a time.
func (o *owner) at(s *trust.Signer, now time.Time, g trust.Grant) trust.Chain {
	o.t.Helper()
	c, err := s.Issue(g, now)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// The newest grant of any issuer used to count, so the least of them could make the
// owner's laptop a worker. Now the issuer must be one who could have given the old one.
func TestGrantIsReplacedByOneWhoMayGiveIt(t *testing.T) {
	o := newOwner(t)
	vps, _, _ := o.limited("cabin-*", "", []string{}...)
	issuer := &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}}
	worker := trust.Grant{Role: trust.RoleWorker, Name: "cabin-1"}
	controller := trust.Grant{Role: trust.RoleController, Name: "c"}
	tests := []struct {
		name   string
		oldBy  *trust.Signer
		old    trust.Grant
		newBy  *trust.Signer
		change func(*trust.Grant)
		err    error
	}{
		{"an issuer makes a controller a worker", o.second, controller, vps, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"and one of the root", o.signer, controller, vps, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"and another issuer", o.signer, trust.Grant{Role: trust.RoleWorker, Name: "cabin-2", MayIssue: issuer}, vps, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"and takes a name that is not its", o.second, trust.Grant{Role: trust.RoleWorker, Name: "rig"}, vps, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"and takes a further right away", o.second, trust.Grant{Role: trust.RoleWorker, Name: "cabin-1", Also: []trust.Right{{Verbs: []string{"stats.read"}}}}, vps, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"it renews what the root gave", o.signer, worker, vps, func(*trust.Grant) {}, nil},
		{"and names it anew", o.second, worker, vps, func(g *trust.Grant) { g.Name = "cabin-9" }, nil},
		{"the laptop renames and labels", o.signer, worker, o.second, func(g *trust.Grant) { g.Name, g.Labels = "rig", map[string]string{"a": "b"} }, nil},
		{"the laptop takes rights away", o.signer, controller, o.second, func(g *trust.Grant) { g.Role = trust.RoleViewer }, nil},
		{"the laptop replaces an issuer", o.signer, trust.Grant{Role: trust.RoleWorker, Name: "cabin-2", MayIssue: issuer}, o.second, func(g *trust.Grant) { *g = worker }, trust.ErrIssuer},
		{"the root replaces an issuer", o.signer, trust.Grant{Role: trust.RoleWorker, Name: "cabin-2", MayIssue: issuer}, o.signer, func(g *trust.Grant) { *g = worker }, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f, rig := o.rig(t.TempDir(), nil, nil)
			p := newPerson(t)
			next := tc.old
			tc.change(&next)
			tc.old.Subject, next.Subject = p.id, p.id
			old, later := o.issue(tc.oldBy, tc.old), o.at(tc.newBy, time.Now().Add(time.Second), next)
			before, err := f.Admit(p.id, old)
			if err != nil {
				t.Fatal(err)
			}
			g, err := f.Admit(p.id, later)
			if err != nil {
				t.Fatalf("the peer is no member any more: %v", err)
			}
			if taken := g.Serial != before.Serial; taken != (tc.err == nil) {
				t.Errorf("counts: %+v", g)
			}
			if _, err := f.Replace(p.id, later); !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("replace: %v, want %v", err, tc.err)
			}
			// So it is for one who meets the newer grant first, for the peer itself, and
			// in the next process.
			other, _ := o.rig(t.TempDir(), nil, nil)
			for _, c := range []trust.Chain{later, old} {
				if _, err := other.Admit(p.id, c); err != nil {
					t.Fatal(err)
				}
			}
			if m, _ := other.Known(p.id); m.Grant.Serial != g.Serial {
				t.Errorf("the other way round: %+v", m.Grant)
			}
			own, err := trust.CreateFleet(trust.FleetConfig{Dir: filepath.Join(t.TempDir(), "fleet"), Self: p.id}, trust.Membership{Fleet: f.ID(), Name: "home", Chain: old}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if news, err := own.Renewed(later); !errors.Is(err, tc.err) || news != (tc.err == nil) {
				t.Errorf("renewed: %v %v, want %v", news, err, tc.err)
			}
			again, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: rig.id})
			if err != nil {
				t.Fatal(err)
			}
			if m, _ := again.Known(p.id); m.Grant == nil || m.Grant.Serial != g.Serial {
				t.Errorf("in the next process: %+v", m.Grant)
			}
		})
	}
}

// An issuer that was thrown out could still replace the grants of others, with one
// of any date that no later one was newer than.
func TestRevokedIssuerReplacesNothing(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	vps, thief, _ := o.limited("", "")
	p := newPerson(t)
	if _, err := f.Admit(p.id, o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "rig"})); err != nil {
		t.Fatal(err)
	}
	evil := o.at(vps, time.Now().Add(time.Second), trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "evil"})
	o.revoke(f, o.signer, trust.Change{RevokePeers: []peer.ID{thief.id}})
	if g, err := f.Admit(p.id, evil); err != nil || g.Name != "rig" {
		t.Errorf("after a grant of a revoked issuer: %+v, %v", g, err)
	}
	if _, err := f.Replace(p.id, evil); !errors.Is(err, trust.ErrRevokedIssuer) {
		t.Errorf("replace: %v", err)
	}
}

// A grant that was revoked keeps no other one out, whatever its date.
func TestRevokedGrantGivesWay(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	p := newPerson(t)
	late, err := f.Admit(p.id, o.at(o.second, time.Now().Add(23*time.Hour), trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "c"}))
	if err != nil {
		t.Fatal(err)
	}
	o.revoke(f, o.second, trust.Change{RevokeSerials: []string{late.Serial}})
	if _, err := f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"})); err != nil || f.May(p.id, "deploy") != nil {
		t.Errorf("a good grant after it: %v", err)
	}
}

// A grant of the far future would be newer than all that are signed until then.
func TestGrantDatedAheadIsRefused(t *testing.T) {
	o := newOwner(t)
	now := time.Now()
	for _, tc := range []struct {
		name  string
		ahead time.Duration
		clock time.Time
		taken bool
	}{
		{"a day", 24 * time.Hour, now, true},
		{"more than a day", 24*time.Hour + time.Millisecond, now, false},
		{"eleven months", 330 * 24 * time.Hour, now, false},
		{"with a clock that cannot be right", 330 * 24 * time.Hour, time.Unix(1000, 0), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock := tc.clock
			f, _ := o.rig(t.TempDir(), nil, func(c *trust.FleetConfig) {
				c.Clock, c.Built = func() time.Time { return clock }, now.Add(-time.Hour)
			})
			before := f.Now()
			p := newPerson(t)
			g := trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c", NotBefore: now.UnixMilli()}
			at := time.UnixMilli(max(now.UnixMilli(), before.UnixMilli())).Add(tc.ahead)
			ahead := o.at(o.signer, at, g)
			_, err := f.Admit(p.id, ahead)
			if _, known := f.Known(p.id); known != tc.taken || (err == nil) != tc.taken || !tc.taken && !errors.Is(err, trust.ErrNotYetValid) {
				t.Errorf("taken: %v, %v", known, err)
			}
			if moved := f.Now().Sub(before); !tc.taken && moved > time.Minute {
				t.Errorf("it moved the time by %v", moved)
			}
			if clock.Before(now) { // it is set right: the made-up date counts no more
				clock = now.Add(time.Minute)
				good := o.at(o.signer, clock, g)
				if _, err := f.Replace(p.id, good); err != nil {
					t.Errorf("when the clock is right: %v", err)
				}
			}
		})
	}
}

// Who has the key of an issuer that was thrown out can make up members without end:
// few of them are written down.
func TestFewOrphansAreKept(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	vps, thief, _ := o.limited("", "")
	o.revoke(f, o.signer, trust.Change{RevokePeers: []peer.ID{thief.id}})
	for range trust.MaxOrphans + 5 {
		p := newPerson(t)
		if _, err := f.Admit(p.id, o.issue(vps, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "x"})); !errors.Is(err, trust.ErrRevokedIssuer) {
			t.Fatal(err)
		}
	}
	if n := len(f.Members()); n != trust.MaxOrphans {
		t.Errorf("%d are kept, want %d", n, trust.MaxOrphans)
	}
	p := newPerson(t)
	if _, err := f.Admit(p.id, o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "x"})); err != nil || len(f.Members()) != trust.MaxOrphans+1 {
		t.Errorf("a good one: %v", err)
	}
}

// Rights follow labels, so an issuer with rights on some machines could bring the
// others under them by labelling them.
func TestIssuerLabelsNothingIntoItsRights(t *testing.T) {
	o := newOwner(t)
	a, b := map[string]string{"site": "a"}, map[string]string{"site": "b"}
	on, _, _ := o.limited("", "site=a", "deploy")
	p := newPerson(t)
	also := o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleIssuer, Name: "also", Verbs: []string{}, Also: []trust.Right{{Verbs: []string{"deploy"}, On: "site=a"}},
		MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}}})
	byAlso, err := trust.NewIssuer(o.root.Fleet(), p.key, also)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		by       *trust.Signer
		old, new map[string]string
		refused  bool
	}{
		{"of another site", on, b, a, true},
		{"of no site", on, nil, a, true},
		{"of its own", on, a, map[string]string{"site": "a", "gpu": "3080"}, false},
		{"a right given later, of another site", byAlso, b, a, true},
		{"a right given later, of no site", byAlso, nil, a, true},
		{"a right given later, of its own", byAlso, a, map[string]string{"site": "a", "gpu": "3080"}, false},
		{"out of its right", byAlso, a, b, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f, rig := o.rig(t.TempDir(), tc.old, nil)
			c := o.at(tc.by, time.Now().Add(time.Second), trust.Grant{Subject: rig.id, Role: trust.RoleWorker, Name: "rig", Labels: tc.new})
			if news, err := f.Renewed(c); tc.refused != errors.Is(err, trust.ErrIssuer) || news == tc.refused {
				t.Errorf("renewed: %v, %v", news, err)
			}
		})
	}
	if _, err := on.Issue(trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: "new", Labels: b}, time.Now()); !errors.Is(err, trust.ErrIssuer) {
		t.Errorf("a new machine of another site: %v", err)
	}
}

// Who was thrown out by the root went on throwing out others, with records of its own.
func TestRevokedIssuerRevokesNothing(t *testing.T) {
	for _, how := range []string{"by its peer ID", "by the serial of its grant"} {
		t.Run(how, func(t *testing.T) {
			o := newOwner(t)
			dir := t.TempDir()
			f, rig := o.rig(dir, nil, nil)
			late, _ := o.rig(t.TempDir(), nil, nil) // hears of the root's word last
			cred, err := f.ID().Verify(o.chain, o.issuer.id)
			if err != nil {
				t.Fatal(err)
			}
			c := trust.Change{RevokePeers: []peer.ID{o.issuer.id}}
			if how != "by its peer ID" {
				c = trust.Change{RevokeSerials: []string{cred.Grant.Serial}}
			}
			honest, good := newPerson(t), newPerson(t)
			before := o.revoke(f, o.second, trust.Change{RevokePeers: []peer.ID{honest.id}})
			evil, err := o.second.Revise(f.Records(), trust.Change{RevokePeers: []peer.ID{good.id}}, time.Now().Add(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			root := o.revoke(f, o.signer, c)
			if news, err := f.Merge(evil); news || !errors.Is(err, trust.ErrRevokedPeer) && !errors.Is(err, trust.ErrRevokedSerial) {
				t.Errorf("its next record: %v, %v", news, err)
			}
			if _, err := late.Merge(evil, root); err != nil {
				t.Errorf("the root's word came last: %v", err)
			}
			again, err := trust.OpenFleet(trust.FleetConfig{Dir: filepath.Join(dir, "fleet"), Self: rig.id})
			if err != nil {
				t.Fatal(err)
			}
			for name, f := range map[string]*trust.Fleet{"first": f, "late": late, "in the next process": again} {
				if !f.Revoked(honest.id) {
					t.Errorf("%s: what it had revoked before does not count any more", name)
				}
				if f.Revoked(good.id) {
					t.Errorf("%s: what it revoked afterwards counts", name)
				}
			}
			// It is not asked for again, and an older one is not either.
			digests := []trust.Digest{{Signer: o.issuer.id, Seq: uint64(time.Now().Add(time.Second / 2).UnixMilli())}}
			if f.Records().Behind(digests) {
				t.Error("the record is asked for again")
			}
			// Lifted, it is heard again.
			o.revoke(f, o.signer, trust.Change{LiftPeers: c.RevokePeers, LiftSerials: c.RevokeSerials})
			if _, err := f.Merge(before, evil); err != nil || !f.Revoked(good.id) {
				t.Errorf("lifted: %v", err)
			}
		})
	}
}

// A thief could revoke so many that the root's next record would not hold them.
func TestThrownOutIssuerLeavesRoom(t *testing.T) {
	o := newOwner(t)
	f, _ := o.rig(t.TempDir(), nil, nil)
	var many []string
	for range 1024 {
		many = append(many, rand.Text())
	}
	o.revoke(f, o.second, trust.Change{RevokeSerials: many})
	o.revoke(f, o.signer, trust.Change{RevokePeers: []peer.ID{o.issuer.id}})
	o.revoke(f, o.signer, trust.Change{RevokeSerials: []string{rand.Text()}})
	if n := len(f.Records().Revoked().Serials()); n != 1024/2+1 || !f.Revoked(o.issuer.id) {
		t.Errorf("%d are revoked", n)
	}
}

// A revocation whose write had failed counted until the next start, and was never
// written, because it was known.
func TestRecordIsSavedLater(t *testing.T) {
	for name, again := range map[string]func(*trust.Fleet, []byte) error{
		"brought again": func(f *trust.Fleet, rec []byte) error { _, err := f.Merge(rec); return err },
		"at any merge":  func(f *trust.Fleet, _ []byte) error { _, err := f.Merge(); return err },
		"at a reload":   func(f *trust.Fleet, _ []byte) error { return f.Reload() },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t)
			f, rig := o.rig(t.TempDir(), nil, nil)
			p := newPerson(t)
			rec, err := o.signer.Revise(f.Records(), trust.Change{RevokePeers: []peer.ID{p.id}}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			inTheWay := filepath.Join(f.Dir(), "records")
			if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := f.Merge(rec); !errors.Is(err, trust.ErrNotSaved) || !f.Revoked(p.id) {
					t.Errorf("while it cannot be written: %v, revoked: %v", err, f.Revoked(p.id))
				}
			}
			if err := os.Remove(inTheWay); err != nil {
				t.Fatal(err)
			}
			if err := again(f, rec); err != nil {
				t.Errorf("when it can be written: %v", err)
			}
			next, err := trust.OpenFleet(trust.FleetConfig{Dir: f.Dir(), Self: rig.id})
			if err != nil || !next.Revoked(p.id) {
				t.Errorf("in the next process it is forgotten: %v", err)
			}
		})
	}
}

// The time floor that the root had lowered once was lowered again at every start, so
// expired grants came to life again with a clock that was set back.
func TestLoweredFloorRisesAgain(t *testing.T) {
	o := newOwner(t)
	real := time.Now()
	now := real
	clock := func(c *trust.FleetConfig) { c.Clock = func() time.Time { return now } }
	f, rig := o.rig(t.TempDir(), nil, clock)
	cfg := trust.FleetConfig{Dir: f.Dir(), Self: rig.id}
	clock(&cfg)
	other, err := trust.OpenFleet(cfg) // another process of the machine
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*trust.Fleet{f, other} { // somebody's clock is wrong
		p := newPerson(t)
		if _, err := f.Admit(p.id, o.at(o.signer, real.Add(20*time.Hour), trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"})); err != nil {
			t.Fatal(err)
		}
	}
	o.revoke(f, o.signer, trust.Change{TimeFloor: real.Add(-time.Hour)})
	if err := other.Reload(); err != nil || !f.Now().Equal(real) || !other.Now().Equal(real) {
		t.Fatalf("lowered to %v and %v: %v", f.Now(), other.Now(), err)
	}
	now = real.AddDate(0, 6, 0)
	p := newPerson(t)
	if _, err := f.Admit(p.id, o.at(o.signer, now, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"})); err != nil {
		t.Fatal(err)
	}
	now = real // the clock is set back
	for range 2 {
		again, err := trust.OpenFleet(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Reload(); err != nil || again.Now().Before(real.AddDate(0, 6, -1)) {
			t.Errorf("after a start it is %v: %v", again.Now(), err)
		}
	}
	// Nor does the floor of an older program count below the date of a newer one.
	cfg.Built = real.AddDate(1, 0, 0)
	if newer, err := trust.OpenFleet(cfg); err != nil || newer.Now().Before(cfg.Built) {
		t.Errorf("by a newer program it is %v: %v", newer.Now(), err)
	}
}
