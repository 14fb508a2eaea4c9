package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
func untilHeard(t *testing.T, c *agent.Controller, heard func() bool) {
	t.Helper()
	rig := streamtest.PeerID("rig")
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

// serving runs a controller with a state directory until stop is called.
func serving(t *testing.T, dir string) (c *agent.Controller, stop func()) {
	t.Helper()
	c, err := agent.NewServe(agent.ControllerConfig{StateDir: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- NewServer(c).Serve(ctx, SocketPath(dir), func() error { close(ready); return nil })
	}()
	select {
	case <-ready:
	case err := <-served:
		t.Fatal(err)
	}
	return c, func() {
		cancel()
		if err := errors.Join(<-served, c.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Who listens goes on with the next controller: it learns how it stands with the machines by then, and
// what happens from then on. Where none follows, it learns that.
func TestListenersOutliveServe(t *testing.T) {
	dir := t.TempDir()
	c, stop := serving(t, dir)
	r, err := Dial(t.Context(), dir, GreetWithin)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.patience = 2 * time.Second
	watched, err := r.Watch(t.Context(), agent.Selection{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		heard []agent.Event
	)
	count := func(event string) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range heard {
			if e.Event == event {
				n++
			}
		}
		return n
	}
	listened := make(chan error, 1)
	go func() {
		listened <- r.Events(t.Context(), func(e agent.Event) error {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, e)
			return nil
		})
	}()
	var pushed []agent.Pushed
	ended := make(chan error, 1)
	go func() {
		for p, err := range watched {
			if err != nil {
				ended <- err
				return
			}
			mu.Lock()
			pushed = append(pushed, p)
			mu.Unlock()
		}
		ended <- nil
	}()
	untilHeard(t, c, func() bool { return count("state") > 0 })
	stop()
	eventually(t, "the cut", func() bool { return count("cut") == 1 })
	mu.Lock()
	heard = heard[:0]
	mu.Unlock()

	// What happens before anybody listens is heard of, once.
	c, stop = serving(t, dir)
	c.Node.Standings().Block(streamtest.PeerID("rig"), true)
	eventually(t, "the next controller", func() bool { return count("state") > 0 })
	mu.Lock()
	if len(heard) != 2 || heard[0].Event != "back" || heard[0].AwaySeconds <= 0 || heard[1].State != keep.Blocked {
		t.Errorf("heard %+v", heard)
	}
	mu.Unlock()
	untilHeard(t, c, func() bool { return count("state") > 1 })
	var seen []agent.Pushed
	eventually(t, "the watch to be back", func() bool {
		mu.Lock()
		defer mu.Unlock()
		seen = slices.Clone(pushed)
		return len(seen) == 2
	})
	if seen[0].Event != agent.EventCut || seen[0].Why == "" || seen[1].Event != agent.EventBack || seen[1].Away <= 0 {
		t.Errorf("watched %+v", seen)
	}
	stop()

	if err := <-listened; !errors.Is(err, ErrServeEnded) {
		t.Errorf("events end with %v", err)
	}
	if err := <-ended; !errors.Is(err, ErrServeEnded) {
		t.Errorf("watch ends with %v", err)
	}
}

// What a verb yields at one end arrives at the other, errors with their codes; an older end reads
// it, too.
func TestLines(t *testing.T) {
	for _, tc := range []struct {
		name string
		line any
		want string
	}{
		{"a delivery", deliverVerb.object(agent.Delivery{Target: agent.Target{Name: "rig"}, Err: streams.Errorf(streams.CodeTimeout, "late")}),
			`{"delivery":{"target":{"peer":"","name":"rig"},"error":{"code":408,"message":"late"`},
		{"an error of ours", deliverVerb.object(agent.Delivery{Err: context.DeadlineExceeded}), `{"code":500,"message":"context deadline exceeded"`},
		{"a result", execVerb.object(execLine{Result: &agent.Result{Type: "stats", Payload: []byte(`{}`), Done: true}}),
			`{"result":{"target":{"peer":""},"type":"stats","payload":{},"done":true}}`},
		{"a request", agent.Selection{All: true, Wait: 3 * time.Second}, `{"all":true,"waitMs":3000}`},
	} {
		b, err := json.Marshal(tc.line, encoding())
		if err != nil || !strings.Contains(string(b), tc.want) {
			t.Errorf("%s: %s, %v; want %s", tc.name, b, err, tc.want)
		}
	}
	d, err := deliverVerb.parse([]byte(`{"delivery":{"target":{"name":"rig"},"error":{"code":408,"message":"late"}}}`))
	if err != nil || d.Target.Name != "rig" || streams.CodeOf(d.Err) != streams.CodeTimeout {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := deliverVerb.parse([]byte(`{"delivery":{"target":{"name":"rig"}}}`)); err != nil || d.Err != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := execVerb.parse([]byte(`{"error":"no machine","unknown":true}`)); !errors.Is(err, agent.ErrSelection) || err.Error() != "no machine" {
		t.Errorf("%v", err)
	}
}
