package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// twinNode runs a node with a key, in the role of one that runs once for an identity, on loopback until the test ends or stop is
// called.
func twinNode(t *testing.T, cfg Config, key crypto.PrivKey, listen ...string) (n *Node, stop func()) {
	t.Helper()
	cfg.Host = host.Config{Identity: key, DHT: host.DHTOff}
	for _, a := range listen {
		cfg.Host.Listen = append(cfg.Host.Listen, multiaddr.StringCast(a))
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	effect := streams.Call[struct{}, struct{}]{Family: streams.Family{Name: "test", Versions: []string{"1.0.0"}}, Request: "act", Reply: "act_ack", Verb: "miner.control"}
	read := streams.Call[struct{}, struct{}]{Family: effect.Family, Request: "look", Reply: "look_ack", Verb: "stats.read"}
	nothing := func(context.Context, streams.Peer, struct{}) (struct{}, error) { return struct{}{}, nil }
	if err := errors.Join(effect.Handle(n.Mux, nothing), read.Handle(n.Mux, nothing), n.Listen()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := errors.Join(<-done, n.Close()); err != nil && !errors.Is(err, host.ErrClosed) {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func newKey(t *testing.T) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, err := host.NewIdentity()
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

func knows(n *Node, p peer.ID) bool { _, ok := n.Twin(p); return ok }

func connect(t *testing.T, from, to *Node) {
	t.Helper()
	if err := from.Connect(t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Greeting(t.Context(), to.ID()); err != nil {
		t.Fatal(err)
	}
}

const onTCP = "/ip4/127.0.0.1/tcp/0"

// TestTwinsAreNoticed: two machines with one key come to a third. It knows, both know, and what has an effect is held.
func TestTwinsAreNoticed(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	hub, _ := twinNode(t, Config{Role: "relay", Sole: true, Judge: trust.NewOpen(id)}, hubKey, onTCP)
	worker := Config{Role: "worker", Sole: true, Judge: trust.NewOpen(hubID)}
	a, _ := twinNode(t, worker, key, onTCP)
	connect(t, a, hub)
	act := streams.Call[struct{}, struct{}]{Family: streams.Family{Name: "test", Versions: []string{"1.0.0"}}, Request: "act", Reply: "act_ack", Verb: "miner.control"}
	look := streams.Call[struct{}, struct{}]{Family: act.Family, Request: "look", Reply: "look_ack", Verb: "stats.read"}
	if _, err := act.Do(t.Context(), hub.Client, id, struct{}{}); err != nil || knows(hub, id) || knows(a, id) {
		t.Fatalf("one machine: %v", err)
	}
	b, stop := twinNode(t, worker, key, onTCP)
	connect(t, b, hub)
	for what, n := range map[string]*Node{"the third": hub, "the first": a, "the second": b} {
		soon(t, what+" knows", func() bool { return knows(n, id) })
	}
	_, err := act.Do(t.Context(), hub.Client, id, struct{}{})
	if streams.CodeOf(err) != streams.CodeConflict || !strings.Contains(err.Error(), "leave the fleet, delete identity.pem, join again") || strings.Contains(err.Error(), "\n") {
		t.Errorf("an effect: got %v, want one line with 409 and what to do", err)
	}
	if _, err := look.Do(t.Context(), hub.Client, id, struct{}{}); err != nil {
		t.Errorf("what has no effect: %v", err)
	}
	// A process that comes later hears it in the greeting, whichever of the two it reaches.
	late, _ := twinNode(t, Config{Role: "controller", Judge: trust.NewOpen(id)}, hubKey)
	connect(t, late, a)
	if twin, ok := late.Twin(id); !ok || twin.By != id {
		t.Errorf("one who comes later knows %+v, want the machine's own word", twin)
	}
	// It goes on for a while, and then ends, once one of the two is gone.
	stop()
	twin, _ := hub.Twin(id)
	if _, still := hub.twins.of(id, twin.seen.Add(twinFor)); !still {
		t.Error("it is forgotten at once")
	}
	if _, still := hub.twins.of(id, twin.seen.Add(twinFor+1)); still {
		t.Error("it is never forgotten")
	}
}

// TestNoTwins: what is no second machine is not taken for one.
func TestNoTwins(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	hub, _ := twinNode(t, Config{Role: "relay", Sole: true, Judge: trust.NewOpen(id)}, hubKey, onTCP)
	connsAt := func(boot string) (n int) {
		for _, i := range hub.Peers() {
			if i.ID == id && i.Hello.Boot == boot {
				n++
			}
		}
		return n
	}
	worker := Config{Role: "worker", Sole: true, Judge: trust.NewOpen(hubID)}
	t.Run("two connections of one process", func(t *testing.T) {
		run := func(boot string, since int64) PeerInfo {
			return PeerInfo{ID: id, Hello: streams.Hello{Boot: boot}, Since: time.Unix(since, 0)}
		}
		if two := pairs([]PeerInfo{run("worker-a", 1), run("worker-a", 2)}); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
		two := pairs([]PeerInfo{run("worker-a", 1), run("worker-b", 2), run("worker-b", 3), run("controller-c", 4)})
		if len(two) != 1 || two[0][0].Hello.Boot != "worker-b" || two[0][1].Hello.Boot != "worker-a" {
			t.Errorf("got %v, want the newest connection of each", two)
		}
	})
	t.Run("a process that is started again, while its old connection is there and silent", func(t *testing.T) {
		old, stopOld := twinNode(t, worker, key, onTCP)
		defer stopOld()
		connect(t, old, hub)
		soon(t, "greeted", func() bool { return connsAt(old.boot) == 1 })
		conn := old.Network().ConnsToPeer(hubID)[0]
		for _, s := range old.Mux.Families() { // as a killed one: it answers nothing any more
			for _, v := range s.Versions {
				old.RemoveStreamHandler(protocol.ID("/swarm/" + s.Name + "/" + v))
			}
		}
		w, stop := twinNode(t, worker, key, onTCP)
		defer stop()
		connect(t, w, hub)
		soon(t, "both greetings are there", func() bool { return connsAt(w.boot) == 1 })
		two := pairs(hub.Peers())
		if len(two) != 1 {
			t.Fatalf("%d pairs, want one: the old connection is to be there still (closed: %v)", len(two), conn.IsClosed())
		}
		hub.askBoth(t.Context(), two[0])
	})
	t.Run("a controller with the key of a worker", func(t *testing.T) {
		w, stopW := twinNode(t, worker, key, onTCP)
		defer stopW()
		connect(t, w, hub)
		other := worker
		other.Role = "controller"
		c, stop := twinNode(t, other, key, onTCP)
		defer stop()
		connect(t, c, hub)
		soon(t, "both greeted", func() bool { return connsAt(w.boot) == 1 && connsAt(c.boot) == 1 })
		if two := pairs(hub.Peers()); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
	})
	t.Run("commands that share the key", func(t *testing.T) {
		command := worker
		command.Sole = false
		for range 3 {
			c, _ := twinNode(t, command, key, onTCP)
			connect(t, c, hub)
		}
		if two := pairs(hub.Peers()); len(two) != 0 {
			t.Errorf("taken for a pair: %v", two)
		}
	})
	if twin, ok := hub.Twin(id); ok {
		t.Errorf("two machines: %+v", twin)
	}
}

// TestSelfElsewhere: that somebody says this node is elsewhere means nothing; that somebody there has its key and another boot does.
func TestSelfElsewhere(t *testing.T) {
	key, id := newKey(t)
	hubKey, hubID := newKey(t)
	worker := Config{Role: "worker", Sole: true, Judge: trust.NewOpen(hubID)}
	a, _ := twinNode(t, worker, key, onTCP)
	other, _ := twinNode(t, worker, hubKey, onTCP)
	hub, _ := twinNode(t, Config{Role: "controller", Judge: trust.NewOpen(id)}, hubKey)
	connect(t, hub, a)
	a.heardSelf("test", append(other.Addrs(), append(a.Addrs(), multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"))...))
	soon(t, "the addresses were looked at, and forgotten", func() bool {
		a.elsewhere.mu.Lock()
		defer a.elsewhere.mu.Unlock()
		return !a.elsewhere.looking && len(a.elsewhere.addrs) == 0
	})
	if knows(a, id) {
		t.Fatal("nobody else is there")
	}
	b, _ := twinNode(t, worker, key, onTCP)
	a.heardSelf("test", b.Addrs())
	soon(t, "it knows", func() bool { return knows(a, id) })
	if twin, _ := a.Twin(id); !slices.Contains(twin.Addrs, b.Addrs()[0].String()) || twin.By != "" {
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
	w, _ := twinNode(t, Config{Role: "worker", Sole: true, Judge: trust.NewOpen(memberID)}, key, onTCP)
	member, _ := twinNode(t, Config{Role: "relay", Sole: true, Judge: trust.NewOpen(id)}, memberKey, onTCP)
	stranger, _ := twinNode(t, Config{Role: "worker", Sole: true, Judge: trust.NewOpen(id)}, strangerKey, onTCP)
	connect(t, member, w)
	connect(t, stranger, w)
	both := streams.Twins{Boots: []string{w.boot, "worker-x"}, Addrs: []string{"/ip4/192.0.2.1/tcp/1", "no address"}}
	for _, tt := range []struct {
		name string
		from *Node
		news streams.TwinsNews
		code streams.Code
	}{
		{"a stranger", stranger, streams.TwinsNews{Peer: id, Twins: both}, streams.CodeForbidden},
		{"a stranger of itself", stranger, streams.TwinsNews{Peer: stranger.ID(), Twins: both}, streams.CodeForbidden},
		{"a member of a third", member, streams.TwinsNews{Peer: stranger.ID(), Twins: both}, streams.CodeForbidden},
		{"a member, of an earlier run", member, streams.TwinsNews{Peer: id, Twins: streams.Twins{Boots: []string{"worker-y", "worker-x"}}}, streams.CodeConflict},
		{"one boot", member, streams.TwinsNews{Peer: id, Twins: streams.Twins{Boots: []string{w.boot}}}, streams.CodeInvalid},
		{"a member", member, streams.TwinsNews{Peer: id, Twins: both}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := streams.TellTwins.Do(t.Context(), tt.from.Client, id, tt.news)
			if streams.CodeOf(err) != tt.code {
				t.Errorf("got %v, want %d", err, tt.code)
			}
			if got := knows(w, id); got != (tt.code == 0) {
				t.Errorf("held: %v", got)
			}
		})
	}
	if twin, _ := w.Twin(id); !slices.Equal(twin.Addrs, both.Addrs[:1]) || twin.By != memberID {
		t.Errorf("it knows %+v", twin)
	}
}

// TestAgain: only a run that comes again after a later one, over a connection that is newer than that, is a second machine.
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
			var tw twins
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
	var tw twins
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
	if boot := newBoot(strings.Repeat("r", 100), strings.Repeat("x", 26)); len(boot) != streams.MaxBoot {
		t.Errorf("a boot of %d bytes", len(boot))
	}
}
