package agent

import (
	"context"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
)

// serving makes a controller that others can connect with.
func serving(t *testing.T) *Controller {
	t.Helper()
	c, err := Started(NewServe(ControllerConfig{StateDir: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

// untilHeard makes something happen again and again, until somebody who has just begun to listen
// hears of it.
func untilHeard(t *testing.T, c *Controller, heard func() bool) {
	t.Helper()
	rig := newID(t)
	if err := c.Node.Book().Put(book.Entry{Peer: rig, Name: "rig-00"}); err != nil {
		t.Fatal(err)
	}
	yes := false
	eventually(t, "an event", func() bool {
		yes = !yes
		c.Node.Standings().Block(rig, yes)
		return heard()
	})
}

// One that joins is connected first and saved then; what came before that was told to nobody.
func TestEventsOfOneThatJoins(t *testing.T) {
	c := serving(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events := make(chan Event, eventsQueued)
	ended := make(chan error, 1)
	go func() { ended <- c.Events(ctx, func(e Event) error { events <- e; return nil }) }()
	untilHeard(t, c, func() bool { return len(events) > 0 })
	rig, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	if err := rig.Connect(ctx, peer.AddrInfo{ID: c.Node.ID(), Addrs: c.Node.Addrs()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be connected", func() bool {
		st, ok := c.Node.Standings().Get(rig.ID())
		return ok && st.State == keep.Direct
	})
	if err := c.Node.Book().Put(book.Entry{Peer: rig.ID(), Name: "rig-01"}); err != nil {
		t.Fatal(err)
	}
	for told := false; !told; {
		select {
		case e := <-events:
			told = e.Peer == rig.ID()
			if told && (e.Event != "state" || e.Name != "rig-01" || e.State != keep.Direct || e.Path != route.LAN || e.Addr == "") {
				t.Errorf("told %+v, want that rig-01 is connected", e)
			}
		case <-ctx.Done():
			t.Fatal("nothing was told of the new machine")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A slow listener is told how many events it has missed, at the place where they are missing.
func TestEventsAreLost(t *testing.T) {
	q := &eventQueue{c: make(chan Event, 2)}
	for range 5 {
		q.put(Event{Event: "state"})
	}
	<-q.c
	<-q.c
	q.put(Event{Event: "fleet"})
	if lost, next := <-q.c, <-q.c; lost.Event != "lost" || lost.Lost != 3 || next.Event != "fleet" {
		t.Errorf("%+v and then %+v, want that 3 were lost and then the next", lost, next)
	}
	q.tellLost()
	if len(q.c) > 0 {
		t.Errorf("told again: %+v", <-q.c)
	}
}
