package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host/book"
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

// The end of the controller that serves is no end of what there is to hear.
func TestListenersLearnThatServeHasEnded(t *testing.T) {
	dir := t.TempDir()
	c, err := agent.NewServe(agent.ControllerConfig{StateDir: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- NewServer(c).Serve(ctx, SocketPath(dir), func() error { close(ready); return nil })
	}()
	<-ready
	r, ok := Dial(t.Context(), dir)
	if !ok {
		t.Fatal("nobody serves")
	}
	defer r.Close()
	watched, err := r.Watch(t.Context(), agent.Selection{All: true})
	if err != nil {
		t.Fatal(err)
	}
	heard, listened := make(chan struct{}, 1024), make(chan error, 1)
	go func() {
		listened <- r.Events(t.Context(), func(agent.Event) error { heard <- struct{}{}; return nil })
	}()
	untilHeard(t, c, func() bool { return len(heard) > 0 })
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := <-listened; !errors.Is(err, ErrServeEnded) {
		t.Errorf("events end with %v", err)
	}
	var last error
	for _, err := range watched {
		last = err
	}
	if !errors.Is(last, ErrServeEnded) {
		t.Errorf("watch ends with %v", last)
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
