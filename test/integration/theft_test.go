package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// thief has a copy of a machine's disk, and signs with its key whatever the wire takes.
type thief struct {
	t      *testing.T
	state  string
	key    crypto.PrivKey
	signer *trust.Signer
	fleet  *trust.Fleet
}

// steal copies a state directory.
func steal(t *testing.T, state string) *thief {
	t.Helper()
	th := &thief{t: t, state: t.TempDir()}
	must(t, os.CopyFS(filepath.Join(th.state, "copy"), os.DirFS(state)))
	th.state = filepath.Join(th.state, "copy")
	must(t, filepath.WalkDir(th.state, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}))
	os.Remove(filepath.Join(th.state, "root.key")) // the owner keeps it elsewhere
	var err error
	th.key, err = identity.LoadOrCreate(identity.Path(th.state))
	must(t, err)
	id, err := peer.IDFromPrivateKey(th.key)
	must(t, err)
	th.fleet, err = trust.OpenFleet(trust.FleetConfig{Dir: fleetdir.Dir(th.state), Self: id})
	must(t, err)
	th.signer, err = trust.NewIssuer(th.fleet.ID(), th.key, th.fleet.Chain())
	must(t, err)
	return th
}

// sign signs a grant, dated as the thief likes.
func (th *thief) sign(g trust.Grant, at time.Time) [][]byte {
	th.t.Helper()
	c, err := th.signer.Issue(g, at)
	must(th.t, err)
	return c
}

// put hands statements to a machine, as the stolen key or as a stranger.
func (th *thief) put(to *rig, statements ...[]byte) error {
	th.t.Helper()
	n, err := node.New(node.Config{Host: host.Config{Identity: th.key, NoListen: true, DHT: host.DHTOff, StateDir: th.t.TempDir()}, Role: "controller"})
	must(th.t, err)
	defer n.Close()
	infos, err := host.ParsePeers(to.addr)
	must(th.t, err)
	ctx, cancel := context.WithTimeout(th.t.Context(), 10*time.Second)
	defer cancel()
	must(th.t, n.Connect(ctx, infos[0]))
	_, err = membership.PutStatements.Do(ctx, n.Client, infos[0].ID, membership.Statements{Statements: statements})
	return err
}

// puppet is a controller of the thief's own making.
func (th *thief) puppet(g *rig, at time.Time) controller {
	th.t.Helper()
	c := newController(th.t)
	id, err := peer.Decode(c.id)
	must(th.t, err)
	chain := th.sign(trust.Grant{Subject: id, Role: trust.RoleController, Name: "puppet"}, at)
	if g != nil {
		must(th.t, th.put(g, chain...))
	}
	_, err = trust.CreateFleet(trust.FleetConfig{Dir: fleetdir.Dir(c.state), Self: id},
		trust.Membership{Fleet: th.fleet.ID(), Name: "home", Chain: chain}, nil)
	must(th.t, err)
	return c
}

// commands reports whether a controller gets a machine to do something.
func (c controller) commands(g *rig) bool {
	c.t.Helper()
	r, lines := c.exec(append([]string{"stop_miner", g.peer, "--payload", `{"name":"nope"}`}, c.at(g)...)...)
	if len(lines) != 1 {
		c.t.Fatalf("%+v", r)
	}
	return lines[0].OK || lines[0].Error.Code == 404 // it has looked for the workload
}

func (f *realFleet) sheet() string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "sheet.txt")
	must(f.t, os.WriteFile(path, []byte(mustRun(f.t, f.swarm("key", "backup")).stdout), 0o600))
	return path
}

// restore brings the fleet back on a new laptop.
func (f *realFleet) restore(sheet string, want int, args ...string) controller {
	f.t.Helper()
	c := controller{t: f.t, state: f.t.TempDir()}
	r := c.swarm(append([]string{"key", "restore", sheet, "--no-passphrase", "--name", "laptop2", "--mdns=false", "--json"}, args...)...)
	if r.code != want {
		f.t.Fatalf("restore: %+v", r)
	}
	return c
}

// C1, C2: what a thief has signed, dated as it likes, neither survives a restore nor holds it up.
func TestRestoreEndsTheThiefsCreatures(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	sheet := f.sheet()
	th := steal(t, f.state)
	puppet, ahead := th.puppet(g, time.Now()), th.puppet(g, time.Now().Add(25*time.Hour))
	for _, name := range []string{"aaa-floor", "aaa-later"} { // members that cannot be signed anew in order
		_, id := newPeer(t)
		must(t, th.put(g, th.sign(trust.Grant{Subject: id, Role: trust.RoleWorker, Name: name, N: 1 << 39}, time.Now().Add(24*time.Hour))...))
	}
	for i, c := range []controller{puppet, ahead} {
		if !c.commands(g) {
			t.Fatalf("before the restore puppet %d does not command", i)
		}
	}
	restored := f.restore(sheet, 3)
	for i, c := range []controller{puppet, ahead, f.controller} {
		if c.commands(g) {
			t.Errorf("after the restore %d commands", i)
		}
	}
	if !restored.commands(g) {
		t.Error("the new laptop does not command")
	}
	if r := restored.swarm("members", "--json"); !strings.Contains(r.stdout, `"state":"unconfirmed"`) {
		t.Errorf("members: %s", r.stdout)
	}
	if r, lines := restored.exec(append([]string{"get_stats", "--all"}, restored.at(g)...)...); len(lines) > 0 || r.code != 3 {
		t.Errorf("an unconfirmed machine is in --all: %+v", r)
	}
}

func newPeer(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, err := identity.New()
	must(t, err)
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return key, id
}

// C1 with a second laptop: revoking the stolen one needs its peer ID and the root key, and nothing
// that it has signed.
func TestRevokeAsRootEndsTheThiefsCreatures(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	second := f.letInController("laptop2")
	mustRun(t, f.swarm("grant", "laptop2", "--verbs", "admit,grant,revoke", "--issue", "worker,relay,controller", "--for-all", "--as-root", "--mdns=false"))
	if !second.commands(g) {
		t.Fatal("the second laptop does not command")
	}
	th := steal(t, f.state)
	puppet := th.puppet(g, time.Now())
	if !puppet.commands(g) {
		t.Fatal("the puppet does not command")
	}
	root := filepath.Join(f.state, "root.key")
	r := second.swarm(append([]string{"revoke", f.controller.id, "--root", root}, second.at(g)...)...)
	if r.code != 0 || !strings.Contains(r.stderr, "signed anew at the next contact") {
		t.Errorf("revoke: %+v", r)
	}
	if puppet.commands(g) || f.controller.commands(g) {
		t.Error("the thief goes on")
	}
	if !second.commands(g) {
		t.Error("the second laptop does not command any more")
	}
}

// C3, C4: nothing that an issuer says later, and no restore that reached nobody, ends a revocation.
func TestRevocationsOnlyGrow(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	evil, other := f.letInController("evil"), f.letInController("other")
	if !evil.commands(g) || !other.commands(g) {
		t.Fatal("they do not command")
	}
	sheet := f.sheet()
	mustRun(t, f.swarm(append([]string{"revoke", "evil"}, f.at(g)...)...))
	mustRun(t, f.swarm(append([]string{"revoke", "other", "--as-root"}, f.at(g)...)...))
	th := steal(t, f.state)
	_, nobody := newPeer(t)
	chain := th.sign(trust.Grant{Subject: nobody, Role: trust.RoleWorker, Name: "nobody"}, time.Now())
	_, err := th.fleet.Learn(chain...)
	must(t, err)
	must(t, th.fleet.Issuance().Revoke(th.signer, []peer.ID{nobody}, nil))
	must(t, th.put(g, th.fleet.Exchange().Common()...))
	if evil.commands(g) {
		t.Error("the next word of an issuer lifted what it had revoked")
	}
	g.stop()
	f.restore(sheet, 4) // nobody answers, so nothing is changed
	restored := f.restore(sheet, 0, "--alone")
	g.run(t)
	restored.exec(append([]string{"get_stats", g.peer}, restored.at(g)...)...)
	if evil.commands(g) || other.commands(g) {
		t.Error("a restore lifted revocations")
	}
	if !restored.commands(g) {
		t.Error("the new laptop does not command")
	}
}

// C5: a revocation after a lift has its effect.
func TestRevokedAgainAfterALift(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	evil := f.letInController("evil")
	at := f.at(g)
	for i := range 2 {
		if !evil.commands(g) {
			t.Fatalf("round %d: it does not command", i)
		}
		mustRun(t, f.swarm(append([]string{"revoke", "evil"}, at...)...))
		if evil.commands(g) {
			t.Errorf("round %d: it commands", i)
		}
		mustRun(t, f.swarm(append([]string{"revoke", "--lift", "evil"}, at...)...))
	}
}

// C6, M1: the key of the least delegate takes nothing from the owner.
func TestDelegateTouchesOnlyItsOwn(t *testing.T) {
	f := newFleet(t)
	g, vps := f.letIn("rig-01"), f.letIn("vps")
	friend := f.letInController("friend")
	mustRun(t, f.swarm(append([]string{"grant", "vps", "--issue", "worker"}, f.at(vps)...)...))
	f.exec(append([]string{"get_stats", "--all"}, f.at(g, vps)...)...)
	waitFor(t, "the vps to have its grant", func() bool {
		return strings.Contains(swarm(t, "status", "--state", vps.state, "--json").stdout, `"role":"worker"`)
	})
	th := steal(t, vps.state)
	id, err := peer.Decode(g.peer)
	must(t, err)
	c, err := th.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleWorker, Name: "mine", N: 1<<40 - 1, Expires: time.Now().Add(time.Second).UnixMilli()}, time.Now())
	if err == nil { // its own program refuses already; the wire does as well
		must(t, th.put(g, c...))
	}
	if !f.controller.commands(g) || !friend.commands(g) {
		t.Error("the delegate took a machine from its owner")
	}
	if err := th.fleet.Issuance().Revoke(th.signer, []peer.ID{id}, nil); err == nil {
		t.Error("the delegate revoked another's machine")
	}
}

// C7: a name is only a name.
func TestNamesAreOnlyNames(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	serial := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, name := range []string{g.peer, "12D3KooWx", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", serial, "--all", "-h", "..", "/ip4/127.0.0.1/tcp/1", ".x", "_x"} {
		for _, args := range [][]string{{"invite", "--ttl", "1s", "--listen", anyPort, "--mdns=false", "--", name}, {"rename", "--mdns=false", "--", "rig-01", name}} {
			if r := swarm(t, append([]string{"--state", f.state}, args...)...); r.code != 1 || !strings.Contains(r.stderr, "no name") {
				t.Errorf("%v: %+v", args, r)
			}
		}
	}
	if r := f.swarm("revoke", serial, "--mdns=false"); r.code != 1 || !strings.Contains(r.stderr, "no grant with the serial") {
		t.Errorf("an unknown serial: %+v", r)
	}
	if r := f.swarm("grant", "rig-01", "--verbs", "miner.controll", "--mdns=false"); r.code != 1 || !strings.Contains(r.stderr, "miner.control?") {
		t.Errorf("an unknown verb: %+v", r)
	}
	// Whoever has an issuer's key cannot sign such a name either.
	th := steal(t, f.state)
	_, id := newPeer(t)
	if _, err := th.signer.Issue(trust.Grant{Subject: id, Role: trust.RoleWorker, Name: g.peer}, time.Now()); err == nil {
		t.Error("a peer ID was signed as a name")
	}
}

// C8: the end of an issuer's grant is the end of all that it gave, whatever date that bears.
func TestEndOfAnIssuerIsAnEnd(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	tmp := newController(t)
	ticket, inv := f.invite("tmp", "--role", "issuer", "--peer", tmp.id, "--as-root", "--for", "6s")
	mustRun(t, join(t, tmp.state, ticket))
	inv.stop()
	th := steal(t, tmp.state)
	puppet := th.puppet(g, time.Now())
	if !puppet.commands(g) {
		t.Fatal("before: it does not command")
	}
	waitFor(t, "the end of the issuer", func() bool { return !tmp.commands(g) })
	if puppet.commands(g) {
		t.Error("what it gave outlived the issuer")
	}
	late := th.puppet(g, time.Now().Add(-time.Hour))
	if late.commands(g) {
		t.Error("what it signed after its end counts")
	}
}

// C9: the controller sends nothing to what it has just revoked, and no process of it is answered.
func TestNothingIsSentToTheRevoked(t *testing.T) {
	rounds := 4
	if slow {
		rounds = 100
	}
	f := newFleet(t)
	serve := f.start("controller", "serve", "--listen", anyPort, "--mdns=false")
	serve.next("ready")
	for i := range rounds {
		name := fmt.Sprintf("rig-%d", i)
		var inv event
		mustLine(t, f.swarm("invite", name, "--json"), &inv)
		g := &rig{name: name, state: t.TempDir(), listen: freeAddr(t)}
		mustRun(t, join(t, g.state, inv.Ticket, "--listen", g.listen))
		g.run(t)
		stop := []string{"stop_miner", name, "--payload", `{"name":"nope"}`}
		if r, lines := f.exec(stop...); len(lines) != 1 || lines[0].Error.Code != 404 {
			t.Fatalf("before: %+v", r)
		}
		mustRun(t, f.swarm("revoke", name))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if r, lines := f.exec(stop...); r.code != 5 && r.code != 1 || len(lines) > 0 && lines[0].Error.Code != 403 {
					t.Errorf("round %d: %+v", i, r)
				}
			})
		}
		wg.Wait()
		g.stop()
		record := swarm(t, "audit", "--state", g.state, "--json").stdout
		if n := strings.Count(record, `"result":"begun"`); n != 1 {
			t.Errorf("round %d: %d requests arrived, want the one from before: %s", i, n, record)
		}
	}
}

// L3: what came in by a member's ticket holds no more than that member does.
func TestBroughtTicketIsWorthItsSender(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	serve := f.start("controller", "serve", "--listen", anyPort, "--mdns=false")
	at := serve.next("ready")
	night := newController(t)
	var inv event
	mustLine(t, f.swarm("invite", "night", "--role", "controller", "--peer", night.id, "--verbs", "*,admit", "--json"), &inv)
	mustRun(t, join(t, night.state, inv.Ticket))
	puppet := newController(t)
	mustLine(t, night.swarm("invite", "puppet", "--via", "laptop", "--role", "controller", "--peer", puppet.id, "--verbs", "*", "--json", "--mdns=false", "--bootstrap", at.Addrs[0]), &inv)
	mustRun(t, join(t, puppet.state, inv.Ticket))
	if !puppet.commands(g) {
		t.Fatal("before: it does not command")
	}
	mustRun(t, f.swarm("revoke", "night"))
	if puppet.commands(g) || night.commands(g) {
		t.Error("it outlived the one who brought its ticket")
	}
}

// A laptop that knows no grant of an issuer asks the machines before it closes the issuer's book: else
// it would be closed for ever.
func TestCloseAsksFirst(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	root, err := rootkey.Load(fleetdir.RootKeyPath(f.state), "")
	must(t, err)
	signer, err := root.Signer()
	must(t, err)
	_, lost := newPeer(t)
	mustRun(t, f.swarm(append([]string{"revoke", lost.String(), "--as-root"}, f.at(g)...)...))
	verbs := []string{trust.VerbRevoke}
	paper, err := signer.Issue(trust.Grant{Subject: lost, Role: trust.RoleIssuer, Name: "lost", Verbs: verbs, MayIssue: &trust.Bounds{Verbs: verbs, ForAll: true}}, time.Now())
	must(t, err)
	must(t, steal(t, f.state).put(g, paper...)) // the machine has heard of it, the laptop has not
	mustRun(t, f.swarm(append([]string{"revoke", "--close", lost.String()}, f.at(g)...)...))
	id, err := fleetdir.ID(f.state)
	must(t, err)
	fleet, err := trust.OpenFleet(trust.FleetConfig{Dir: fleetdir.Dir(f.state), Self: id})
	must(t, err)
	if l := fleet.Lifts(); len(l) != 1 || len(l[0].Lift.Lines) != 1 {
		t.Errorf("closed for ever: %+v", l)
	}
}
