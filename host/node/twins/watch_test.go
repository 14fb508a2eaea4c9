package twins

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/libp2p/go-libp2p/core/crypto"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// rig is as much of a node as a Watcher works with.
type rig struct {
	*host.Host
	*Watcher
	mux     *streams.Mux
	client  *streams.Client
	greeter *greet.Greeter
	boot    string
}

// settings of a rig.
type settings struct {
	role  string
	sole  bool // it runs once for its identity
	judge *trust.Open
}

// newRig runs a rig with a key on loopback, until the test ends or stop is called.
func newRig(t *testing.T, cfg settings, key crypto.PrivKey, listen ...string) (r *rig, stop func()) {
	t.Helper()
	hc := host.Config{Identity: key, DHT: host.DHTOff}
	for _, a := range listen {
		hc.Listen = append(hc.Listen, multiaddr.StringCast(a))
	}
	h, err := host.New(hc)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	own := func(f func(context.Context)) {
		if ctx.Err() == nil {
			running.Go(func() { f(ctx) })
		}
	}
	r = &rig{Host: h}
	if cfg.sole {
		r.boot = NewBoot(cfg.role, rand.Text())
	}
	r.greeter = greet.New(greet.Config{
		Network: h.Network(), Member: cfg.judge.Member, Hello: greet.Hello{Boot: r.boot, Role: cfg.role},
		Twins: func() *greet.Twins { return r.Own() },
		Met:   func(p greet.PeerInfo, _ bool) { r.Heard(p) }, Greeted: func(p greet.PeerInfo, _ bool) { r.Watcher.Compare(p) },
		Strangers: nobody{}, Life: ctx, Go: own, Logger: log,
	})
	sc := streams.Config{
		Member: cfg.judge.Member, Ready: r.greeter.Ready,
		Authorize: func(_ context.Context, p streams.Peer, v streams.Verb) error {
			if !cfg.judge.Member(p.ID) {
				return streams.ErrForbidden
			}
			return r.Held(v)
		},
	}
	r.mux, r.client = streams.NewMux(h, sc), streams.NewClient(h, sc)
	r.Watcher = New(Config{
		Self: h.ID(), Boot: r.boot, Peers: r.greeter.Peers, Client: r.client, Counts: cfg.judge.Member, Leads: cfg.judge.Member, Hint: func(error) string { return "" },
		Visitor: func() (corehost.Host, error) {
			key, _ := newKey(t)
			return host.New(host.Config{Identity: key, NoListen: true, DHT: host.DHTOff})
		},
		Life: ctx, Go: own, Logger: log,
	})
	nothing := func(context.Context, streams.Peer, struct{}) (struct{}, error) { return struct{}{}, nil }
	bundle := &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { r.greeter.Connected(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { r.greeter.Disconnected(c) },
	}
	h.Network().Notify(bundle)
	err = errors.Join(r.greeter.Register(r.mux, r.client), r.Register(r.mux), act.Handle(r.mux, nothing), look.Handle(r.mux, nothing), h.Listen())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.mux.Serve(ctx) }()
	running.Go(func() { h.Run(ctx) })
	running.Go(func() { r.Run(ctx) })
	stop = sync.OnceFunc(func() {
		h.Network().StopNotify(bundle)
		cancel()
		running.Wait()
		if err := errors.Join(<-served, r.client.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// Run is the watcher's.
func (r *rig) Run(ctx context.Context) error { return r.Watcher.Run(ctx) }

// nobody keeps no account of strangers.
type nobody struct{}

func (nobody) Promote(peer.ID)            {}
func (nobody) Greeted(network.Conn, bool) {}

var (
	act  = streams.Call[struct{}, struct{}]{Family: streams.Family{Name: "test", Versions: []string{"1.0.0"}}, Request: "act", Reply: "act_ack", Verb: "miner.control"}
	look = streams.Call[struct{}, struct{}]{Family: act.Family, Request: "look", Reply: "look_ack", Verb: "stats.read"}
)

func newKey(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("not within 10 s: ", what)
		}
	}
}

func knows(r *rig, p peer.ID) bool { _, ok := r.Of(p); return ok }

func connect(t *testing.T, from, to *rig) {
	t.Helper()
	if err := from.Connect(t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.greeter.Of(t.Context(), to.ID()); err != nil {
		t.Fatal(err)
	}
}

const onTCP = "/ip4/127.0.0.1/tcp/0"

// TestTwinsAreNoticed: two machines with one key come to a third. It knows, both know, and what has
// an effect is held.
func TestTwinsAreNoticed(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	hub, _ := newRig(t, settings{role: "relay", sole: true, judge: trust.NewOpen(id)}, hubKey, onTCP)
	worker := settings{role: "worker", sole: true, judge: trust.NewOpen(hubID)}
	a, _ := newRig(t, worker, key, onTCP)
	connect(t, a, hub)
	if _, err := act.Do(t.Context(), hub.client, id, struct{}{}); err != nil || knows(hub, id) || knows(a, id) {
		t.Fatalf("one machine: %v", err)
	}
	b, stop := newRig(t, worker, key, onTCP)
	connect(t, b, hub)
	for what, n := range map[string]*rig{"the third": hub, "the first": a, "the second": b} {
		soon(t, what+" knows", func() bool { return knows(n, id) })
	}
	_, err := act.Do(t.Context(), hub.client, id, struct{}{})
	if streams.CodeOf(err) != streams.CodeConflict || !strings.Contains(err.Error(), "leave the fleet, delete identity.pem, join again") || strings.Contains(err.Error(), "\n") {
		t.Errorf("an effect: got %v, want one line with 409 and what to do", err)
	}
	if _, err := look.Do(t.Context(), hub.client, id, struct{}{}); err != nil {
		t.Errorf("what has no effect: %v", err)
	}
	// A process that comes later hears it in the greeting, whichever of the two it reaches.
	late, _ := newRig(t, settings{role: "controller", judge: trust.NewOpen(id)}, hubKey)
	connect(t, late, a)
	if twin, ok := late.Of(id); !ok || twin.By != id {
		t.Errorf("one who comes later knows %+v, want the machine's own word", twin)
	}
	// It goes on for a while, and then ends, once one of the two is gone.
	stop()
	twin, _ := hub.Of(id)
	if _, still := hub.table.of(id, twin.seen.Add(twinFor)); !still {
		t.Error("it is forgotten at once")
	}
	if _, still := hub.table.of(id, twin.seen.Add(twinFor+1)); still {
		t.Error("it is never forgotten")
	}
}

// TestNoTwins: what is no second machine is not taken for one.
func TestNoTwins(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	hub, _ := newRig(t, settings{role: "relay", sole: true, judge: trust.NewOpen(id)}, hubKey, onTCP)
	connsAt := func(boot string) (n int) {
		for _, i := range hub.greeter.Peers() {
			if i.ID == id && i.Hello.Boot == boot {
				n++
			}
		}
		return n
	}
	worker := settings{role: "worker", sole: true, judge: trust.NewOpen(hubID)}
	t.Run("two connections of one process", func(t *testing.T) {
		run := func(boot string, since int64) greet.PeerInfo {
			return greet.PeerInfo{ID: id, Hello: greet.Hello{Boot: boot}, Since: time.Unix(since, 0)}
		}
		if two := pairs([]greet.PeerInfo{run("worker-a", 1), run("worker-a", 2)}); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
		two := pairs([]greet.PeerInfo{run("worker-a", 1), run("worker-b", 2), run("worker-b", 3), run("controller-c", 4)})
		if len(two) != 1 || two[0][0].Hello.Boot != "worker-b" || two[0][1].Hello.Boot != "worker-a" {
			t.Errorf("got %v, want the newest connection of each", two)
		}
	})
	t.Run("a process that is started again, while its old connection is there and silent", func(t *testing.T) {
		old, stopOld := newRig(t, worker, key, onTCP)
		defer stopOld()
		connect(t, old, hub)
		soon(t, "greeted", func() bool { return connsAt(old.boot) == 1 })
		conn := old.Network().ConnsToPeer(hubID)[0]
		for _, s := range old.mux.Families() { // as a killed one: it answers nothing any more
			for _, v := range s.Versions {
				old.RemoveStreamHandler(protocol.ID("/swarm/" + s.Name + "/" + v))
			}
		}
		w, stop := newRig(t, worker, key, onTCP)
		defer stop()
		connect(t, w, hub)
		soon(t, "both greetings are there", func() bool { return connsAt(w.boot) == 1 })
		two := pairs(hub.greeter.Peers())
		if len(two) != 1 {
			t.Fatalf("%d pairs, want one: the old connection is to be there still (closed: %v)", len(two), conn.IsClosed())
		}
		hub.askBoth(t.Context(), two[0])
	})
	t.Run("a controller with the key of a worker", func(t *testing.T) {
		w, stopW := newRig(t, worker, key, onTCP)
		defer stopW()
		connect(t, w, hub)
		other := worker
		other.role = "controller"
		c, stop := newRig(t, other, key, onTCP)
		defer stop()
		connect(t, c, hub)
		soon(t, "both greeted", func() bool { return connsAt(w.boot) == 1 && connsAt(c.boot) == 1 })
		if two := pairs(hub.greeter.Peers()); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
	})
	t.Run("commands that share the key", func(t *testing.T) {
		command := worker
		command.sole = false
		for range 3 {
			c, _ := newRig(t, command, key, onTCP)
			connect(t, c, hub)
		}
		if two := pairs(hub.greeter.Peers()); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
	})
	if twin, ok := hub.Of(id); ok {
		t.Errorf("two machines: %+v", twin)
	}
}

// TestSelfElsewhere: that somebody says this node is elsewhere means nothing; that somebody there
// has its key and another boot does.
func TestSelfElsewhere(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	worker := settings{role: "worker", sole: true, judge: trust.NewOpen(hubID)}
	a, _ := newRig(t, worker, key, onTCP)
	other, _ := newRig(t, worker, hubKey, onTCP)
	hub, _ := newRig(t, settings{role: "controller", judge: trust.NewOpen(id)}, hubKey)
	connect(t, hub, a)
	a.HeardSelf("test", append(other.Addrs(), append(a.Addrs(), multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"))...))
	soon(t, "the addresses were looked at, and forgotten", func() bool {
		a.elsewhere.mu.Lock()
		defer a.elsewhere.mu.Unlock()
		return !a.elsewhere.looking && len(a.elsewhere.addrs) == 0
	})
	if knows(a, id) {
		t.Fatal("nobody else is there")
	}
	b, _ := newRig(t, worker, key, onTCP)
	a.HeardSelf("test", b.Addrs())
	soon(t, "it knows", func() bool { return knows(a, id) })
	if twin, _ := a.Of(id); !slices.Contains(twin.Addrs, b.Addrs()[0].String()) || twin.By != "" {
		t.Errorf("it knows %+v, want the address %s, seen by itself", twin, b.Addrs()[0])
	}
	if knows(b, id) {
		t.Error("the other one was asked as by a stranger, and tells nobody")
	}
}

// TestWhoseWordCounts: a stranger, or a worker about another one, has nobody held.
func TestWhoseWordCounts(t *testing.T) {
	key, id := newKey(t)
	memberKey, memberID := newKey(t)
	strangerKey, _ := newKey(t)
	w, _ := newRig(t, settings{role: "worker", sole: true, judge: trust.NewOpen(memberID)}, key, onTCP)
	member, _ := newRig(t, settings{role: "relay", sole: true, judge: trust.NewOpen(id)}, memberKey, onTCP)
	stranger, _ := newRig(t, settings{role: "worker", sole: true, judge: trust.NewOpen(id)}, strangerKey, onTCP)
	connect(t, member, w)
	connect(t, stranger, w)
	both := greet.Twins{Boots: []string{w.boot, "worker-x"}, Addrs: []string{"/ip4/192.0.2.1/tcp/1", "no address"}}
	for _, tt := range []struct {
		name string
		from *rig
		news greet.TwinsNews
		code streams.Code
	}{
		{"a stranger", stranger, greet.TwinsNews{Peer: id, Twins: both}, streams.CodeForbidden},
		{"a stranger of itself", stranger, greet.TwinsNews{Peer: stranger.ID(), Twins: both}, streams.CodeForbidden},
		{"a member of a third", member, greet.TwinsNews{Peer: stranger.ID(), Twins: both}, streams.CodeForbidden},
		{"a member, of an earlier run", member, greet.TwinsNews{Peer: id, Twins: greet.Twins{Boots: []string{"worker-y", "worker-x"}}}, streams.CodeConflict},
		{"one boot", member, greet.TwinsNews{Peer: id, Twins: greet.Twins{Boots: []string{w.boot}}}, streams.CodeInvalid},
		{"a member", member, greet.TwinsNews{Peer: id, Twins: both}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := greet.TellTwins.Do(t.Context(), tt.from.client, id, tt.news)
			if streams.CodeOf(err) != tt.code {
				t.Errorf("got %v, want %d", err, tt.code)
			}
			if got := knows(w, id); got != (tt.code == 0) {
				t.Errorf("held: %v", got)
			}
		})
	}
	if twin, _ := w.Of(id); !slices.Equal(twin.Addrs, both.Addrs[:1]) || twin.By != memberID {
		t.Errorf("it knows %+v", twin)
	}
}

// TestAgain: only a run that comes again after a later one, over a connection that is newer than
// that, is a second machine.
func TestAgain(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	type greeting struct {
		boot        string
		opened, now int
		want        bool
	}
	for _, tt := range []struct {
		name string
		come []greeting
	}{
		{"one run", []greeting{{"worker-a", 1, 1, false}, {"worker-a", 2, 2, false}, {"worker-a", 3, 3, false}}},
		{"started again and again", []greeting{{"worker-a", 1, 1, false}, {"worker-b", 2, 2, false}, {"worker-c", 3, 3, false}}},
		{"a greeting that is late", []greeting{{"worker-a", 1, 1, false}, {"worker-b", 5, 5, false}, {"worker-a", 2, 6, false}, {"worker-b", 7, 7, false}}},
		{"in turn", []greeting{{"worker-a", 1, 1, false}, {"worker-b", 2, 2, false}, {"worker-a", 3, 3, true}, {"worker-b", 4, 4, true}}},
		{"a worker and a controller", []greeting{{"worker-a", 1, 1, false}, {"controller-b", 2, 2, false}, {"worker-a", 3, 3, false}, {"controller-b", 4, 4, false}}},
		{"commands", []greeting{{"", 1, 1, false}, {"worker-a", 2, 2, false}, {"", 3, 3, false}, {"worker-a", 4, 4, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tw table
			for i, g := range tt.come {
				if _, again := tw.came("p", g.boot, at(g.opened), at(g.now)); again != g.want {
					t.Errorf("greeting %d: again is %v", i, again)
				}
			}
		})
	}
}

// TestTwinsAreBounded: however many there are, so many are kept: the latest.
func TestTwinsAreBounded(t *testing.T) {
	var tw table
	start := time.Unix(0, 0)
	for i := range maxTwins + 2 {
		if !tw.mark(Twin{Peer: peer.ID(fmt.Sprint(i))}, start.Add(time.Duration(i))) {
			t.Fatalf("%d is no news", i)
		}
	}
	if got := len(tw.all(start)); got != maxTwins {
		t.Errorf("%d are kept, want %d", got, maxTwins)
	}
	if _, ok := tw.of("0", start); ok {
		t.Error("the oldest is still there")
	}
	for i := range maxLineage + 10 {
		tw.came(peer.ID(fmt.Sprint(i)), "worker-a", start, start)
	}
	if got := len(tw.runs); got != maxLineage {
		t.Errorf("%d runs are remembered, want %d", got, maxLineage)
	}
	for i := range maxAsked + 1 {
		key := runKey{peer: peer.ID(fmt.Sprint(i))}
		if may := tw.begin(key); may != (i < maxAsked) || tw.begin(key) {
			t.Errorf("identity %d may be asked: %v, want %d at a time, each once", i, may, maxAsked)
		}
	}
	tw.end(runKey{peer: "0"})
	if !tw.begin(runKey{peer: "0"}) {
		t.Error("it is never asked again")
	}
	var e elsewhere
	for i := range maxElsewhere + 3 {
		e.add([]multiaddr.Multiaddr{multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+1))})
	}
	if got := len(e.list()); got != maxElsewhere {
		t.Errorf("%d addresses to look at, want %d", got, maxElsewhere)
	}
	if _, look := e.begin(start); !look {
		t.Error("there is nothing to look at")
	}
	if _, look := e.begin(start); look {
		t.Error("two look at a time")
	}
	e.end(e.list()[:1], start)
	if wait, look := e.begin(start.Add(time.Second)); !look || wait != elsewherePause-time.Second || len(e.list()) != maxElsewhere-1 {
		t.Errorf("the next look is %v away (%v)", wait, look)
	}
	if boot := NewBoot(strings.Repeat("r", 100), strings.Repeat("x", 26)); len(boot) != greet.MaxBoot {
		t.Errorf("a boot of %d bytes", len(boot))
	}
}
