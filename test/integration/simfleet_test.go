package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/streams"
)

// simFleet is a fleet on the simulated network.
type simFleet struct {
	*simulation
	admin *admin.Admin
	root  *trust.Signer
}

func (s *simulation) fleet() *simFleet {
	s.t.Helper()
	admin, err := admin.InitFleet(admin.Init{StateDir: filepath.Join(s.dir, "controller"), Fleet: "home", Name: "laptop"})
	s.must(err)
	root, err := admin.Root().Signer()
	s.must(err)
	return &simFleet{s, admin, root}
}

// member makes a state directory a member's, as a ticket would.
func (f *simFleet) member(dir string, role trust.Role, name string, change ...func(*trust.Grant)) peer.ID {
	f.t.Helper()
	dir = filepath.Join(f.dir, dir)
	key, err := identity.LoadOrCreate(identity.Path(dir))
	f.must(err)
	id, err := peer.IDFromPrivateKey(key)
	f.must(err)
	g := trust.Grant{Subject: id, Role: role, Name: name}
	for _, c := range change {
		c(&g)
	}
	chain, err := f.root.Issue(g, time.Now())
	f.must(err)
	_, err = trust.CreateFleet(trust.FleetConfig{Dir: fleetdir.Dir(dir), Self: id},
		trust.Membership{Fleet: f.admin.Fleet.ID(), Name: "home", Chain: chain}, f.admin.Fleet.Exchange().Common())
	f.must(err)
	_, err = f.admin.Fleet.Admit(id, chain) // as the one who let it in
	f.must(err)
	return id
}

// rig starts worker i, whose membership was made under the same number.
func (f *simFleet) rig(i int, bootstrap ...string) running {
	return f.worker(i, agent.WorkerConfig{Bootstrap: bootstrap})
}

// as is a controller of this state directory.
func (f *simFleet) as(dir, ip string) *agent.Controller {
	f.t.Helper()
	c, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: filepath.Join(f.dir, dir), Options: f.options(ip)}))
	f.must(err)
	return c
}

// ask has a controller ask all these machines, and counts the answers.
func (f *simFleet) ask(c *agent.Controller, rigs []running) agent.Summary {
	f.t.Helper()
	op, err := agent.Operations().Find("get_stats")
	f.must(err)
	var sel agent.Selection
	for _, r := range rigs {
		addrs, err := r.Addrs()
		f.must(err)
		sel.Names = append(sel.Names, addrs[0])
	}
	sum, err := c.Exec(context.Background(), agent.Job{Operation: op, Payload: []byte(`{}`), Timeout: 10 * time.Second}, sel, func(r agent.Result) {
		if code := streams.CodeOf(r.Err); code != 0 && code != streams.CodeForbidden && code != streams.CodeUnauthenticated {
			f.t.Errorf("%s: %v", r.Target.Label(), r.Err)
		}
	})
	f.must(err)
	return sum
}

// Twenty workers, five of them away: one controller is revoked. Those that are
// there refuse it at once, the others at their first contact with any member.
func TestRevokeInVirtualTime(t *testing.T) {
	simulate(t, func(s *simulation) {
		const all, there = 20, 15
		f := s.fleet()
		for i := 1; i <= all; i++ {
			f.member(fmt.Sprintf("rig-%02d", i), trust.RoleWorker, fmt.Sprintf("rig-%02d", i))
		}
		thiefID := f.member("thief", trust.RoleController, "thief")
		var rigs []running
		for i := 1; i <= there; i++ {
			var boot []string
			if i > 1 {
				boot = addrsOf(s, rigs[0])
			}
			rigs = append(rigs, f.rig(i, boot...))
		}
		thief, laptop := f.as("thief", "1.0.1.1"), f.as("controller", "1.0.1.2")
		if sum := f.ask(thief, rigs); sum.OK != there {
			t.Errorf("before: %+v", sum)
		}
		if sum := f.ask(laptop, rigs); sum.OK != there {
			t.Errorf("the owner: %+v", sum)
		}
		s.must(f.admin.Revoke([]peer.ID{thiefID}, nil))
		var mu sync.Mutex
		told := 0
		began := time.Now()
		s.must(laptop.Deliver(context.Background(), agent.News{TimeoutMs: 2000}, func(d agent.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			if d.Err == nil {
				told++
			}
		}))
		if told != there {
			t.Errorf("%d of %d were told", told, there)
		}
		if sum := f.ask(thief, rigs); sum.Denied != there {
			t.Errorf("after %v: %+v", time.Since(began), sum)
		}
		// The others come back, and hear of it from any member.
		var late []running
		for i := there + 1; i <= all; i++ {
			late = append(late, f.rig(i, addrsOf(s, rigs[i%there])...))
		}
		s.pass(5 * time.Second)
		if sum := f.ask(thief, late); sum.Denied != all-there {
			t.Errorf("those who were away: %+v", sum)
		}
		if sum := f.ask(laptop, append(rigs, late...)); sum.OK != all {
			t.Errorf("the owner, at the end: %+v", sum)
		}
		s.must(thief.Close())
		s.must(laptop.Close())
		for _, r := range append(rigs, late...) {
			r.stop()
		}
	})
}

// Who was a member for a while is sent away when that is over, though connected.
func TestEndOfAGrantEndsConnections(t *testing.T) {
	simulate(t, func(s *simulation) {
		f := s.fleet()
		f.member("rig-01", trust.RoleWorker, "rig-01")
		friend := f.member("friend", trust.RoleViewer, "friend", func(g *trust.Grant) {
			g.Expires, g.NoRenew = time.Now().Add(time.Minute).UnixMilli(), true
		})
		rigs := []running{f.rig(1)}
		c := f.as("friend", "1.0.1.1")
		if sum := f.ask(c, rigs); sum.OK != 1 {
			t.Errorf("within its time: %+v", sum)
		}
		s.pass(30 * time.Second)
		if len(rigs[0].Node.Network().ConnsToPeer(friend)) == 0 {
			t.Error("sent away within its time")
		}
		s.pass(time.Minute)
		if n := len(rigs[0].Node.Network().ConnsToPeer(friend)); n != 0 {
			t.Errorf("it has %d connections half a minute after its end", n)
		}
		s.must(c.Close())
		rigs[0].stop()
	})
}

// A fleet that was left alone for four months: what lasts longer goes on, what
// has ended is told in words, and is renewed by the one who may.
func TestLeftAloneForFourMonths(t *testing.T) {
	simulate(t, func(s *simulation) {
		f := s.fleet()
		f.member("rig-01", trust.RoleWorker, "rig-01")
		second := f.member("second", trust.RoleController, "second")
		s.pass(120 * 24 * time.Hour)

		rigs := []running{f.rig(1)}
		laptop, other := f.as("controller", "1.0.1.2"), f.as("second", "1.0.1.1")
		if sum := f.ask(laptop, rigs); sum.OK != 1 {
			t.Errorf("the first controller: %+v", sum)
		}
		op, err := agent.Operations().Find("get_stats")
		s.must(err)
		addrs, err := rigs[0].Addrs()
		s.must(err)
		_, err = other.Exec(context.Background(), agent.Job{Operation: op, Payload: []byte(`{}`), Timeout: 10 * time.Second}, agent.Selection{Names: addrs[:1]}, func(r agent.Result) {
			if streams.CodeOf(r.Err) != streams.CodeUnauthenticated || !strings.Contains(r.Err.Error(), "not permitted: expired") {
				t.Errorf("a controller whose 90 days are over: %v", r.Err)
			}
		})
		s.must(err)
		m, err := f.admin.Find("second")
		s.must(err)
		_, err = f.admin.Renew(m)
		s.must(err)
		s.must(laptop.Deliver(context.Background(), agent.News{About: []peer.ID{second}, TimeoutMs: 5000}, func(agent.Delivery) {}))
		if sum := f.ask(other, rigs); sum.OK != 1 {
			t.Errorf("renewed: %+v", sum)
		}

		// Nine months later the worker is past two thirds of its year.
		s.must(laptop.Close())
		s.must(other.Close())
		rigs[0].stop()
		s.pass(150 * 24 * time.Hour)
		rigs[0] = f.rig(1)
		laptop = f.as("controller", "1.0.1.3")
		if sum := f.ask(laptop, rigs); sum.OK != 1 {
			t.Errorf("after nine months: %+v", sum)
		}
		s.pass(5 * time.Second)
		kept, err := trust.OpenFleet(trust.FleetConfig{Dir: fleetdir.Dir(filepath.Join(s.dir, "rig-01")), Self: rigs[0].Node.ID()})
		s.must(err)
		if left := time.Until(kept.Self().Grant.ExpiresAt()); left < 360*24*time.Hour {
			t.Errorf("the worker was not renewed by contact: %v are left", left)
		}
		s.must(laptop.Close())
		rigs[0].stop()
	})
}

// A thief with a copy of the laptop's key has used up the room for what it revokes on a machine. The
// owner is told each time that the machine goes on to obey, and the root key goes on.
func TestRevokeTellsWhereThereIsNoRoom(t *testing.T) {
	simulate(t, func(s *simulation) {
		f := s.fleet()
		state := filepath.Join(f.dir, "controller")
		rigID := f.member("rig-01", trust.RoleWorker, "rig")
		junk := madeUp(s, steal(s.t, state))
		rig, err := trust.OpenFleet(trust.FleetConfig{Dir: fleetdir.Dir(filepath.Join(f.dir, "rig-01")), Self: rigID})
		s.must(err)
		_, err = rig.Learn(junk...)
		s.must(err)
		worker, laptop := f.rig(1), f.as("controller", "1.0.1.2")
		if sum := f.ask(laptop, []running{worker}); sum.OK != 1 {
			t.Fatalf("%+v", sum)
		}

		daily, err := admin.OpenAdmin(state, nil) // without the root key
		s.must(err)
		key, _, err := fleetdir.Identity(state)
		s.must(err)
		own, err := daily.Fleet.Signer(key)
		s.must(err)
		evil := madeUpID(1 << 20)
		chain, err := own.Issue(trust.Grant{Subject: evil, Role: trust.RoleController, Name: "evil"}, time.Now())
		s.must(err)
		_, err = daily.Fleet.Learn(chain...)
		s.must(err)
		revoke := func(adm *admin.Admin) (code streams.Code) {
			s.must(adm.Revoke([]peer.ID{evil}, nil))
			news := agent.News{Keep: adm.Revocations(evil, nil), TimeoutMs: 600_000}
			if len(news.Keep) != 1 {
				t.Fatalf("%d revocations", len(news.Keep))
			}
			s.must(laptop.Deliver(context.Background(), news, func(d agent.Delivery) { code = streams.CodeOf(d.Err) }))
			return code
		}
		for range 2 {
			if code := revoke(daily); code != streams.CodeTooLarge {
				t.Errorf("by the laptop: %v", code)
			}
		}
		s.must(f.admin.Fleet.Reload())
		if code := revoke(f.admin); code != 0 {
			t.Errorf("by the root: %v", code)
		}
		s.must(laptop.Close())
		worker.stop()
	})
}

// madeUpID is a peer that there is not.
func madeUpID(n int) peer.ID {
	return peer.ID("\x00\x24\x08\x01\x12\x20" + fmt.Sprintf("%032d", n))
}

// madeUp is what a thief revokes: members of its own making, as many as there is room for, and large.
func madeUp(s *simulation, th *thief) [][]byte {
	s.t.Helper()
	labels := map[string]string{}
	for i := range 32 {
		labels[fmt.Sprintf("label%02d%s", i, strings.Repeat("x", 50))] = strings.Repeat("y", 60)
	}
	for n, full := 0, false; !full; n++ {
		const each = 100
		var grants [][]byte
		var peers []peer.ID
		for i := range each {
			g := trust.Grant{Subject: madeUpID(n*each + i), Role: trust.RoleWorker, Name: "x", Labels: labels}
			chain, err := th.signer.Issue(g, time.Now())
			s.must(err)
			grants, peers = append(grants, chain[len(chain)-1]), append(peers, g.Subject)
		}
		_, err := th.fleet.Learn(grants...)
		s.must(err)
		if err = th.fleet.Issuance().Revoke(th.signer, peers, nil); !errors.Is(err, trust.ErrFull) {
			s.must(err)
		}
		full = err != nil
	}
	return th.fleet.Exchange().Common()
}
