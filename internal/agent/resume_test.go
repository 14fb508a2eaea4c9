package agent

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// A followed log goes on behind its last item over the next connection, as often as it takes, and
// says so; it ends with a definite answer.
func TestFollowGoesOnOverTheNextConnection(t *testing.T) {
	for name, refuse := range map[string]*streams.Error{
		"to the end":        nil,
		"until it may not":  streams.Errorf(streams.CodeForbidden, "revoked"),
		"until it is gone":  streams.Errorf(streams.CodeNotFound, "no workload"),
		"until it is wrong": streams.Errorf(streams.CodeInvalid, "the log was begun anew"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { followOverConnections(t, refuse) })
		})
	}
}

func followOverConnections(t *testing.T, refuse *streams.Error) {
	const lines, connections = 20, 4
	k := newTalker(t)
	served := 0
	err := ops.GetLogs.Handle(k.Mux, func(ctx context.Context, _ streams.Peer, req ops.LogsRequest, send func(ops.Logs) error) (ops.Logs, error) {
		from := int64(0)
		if served++; served > 1 {
			if req.Offset == nil || req.Run != "r1" || !req.Follow || req.Name != "xmrig" {
				t.Errorf("asked to go on with %+v", req)
			}
			from = *req.Offset
		}
		for n := from; n < lines; n++ {
			if n == lines/2 && refuse != nil {
				return ops.Logs{}, refuse
			}
			item := ops.Logs{Name: "xmrig", Run: "r1", Next: n + 1, Lines: []logs.Line{{Offset: n, Text: string(rune('a' + n))}}}
			if n == lines-1 {
				item.Exit = new(ops.Exit)
				return item, nil
			}
			if err := send(item); err != nil {
				return ops.Logs{}, err
			}
			time.Sleep(time.Minute)
		}
		return ops.Logs{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	getLogs, err := Operations().Find("get_logs")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(ops.LogsRequest{Name: "xmrig", Lines: 7, Since: 1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	var losing sync.WaitGroup
	defer losing.Wait()
	losing.Go(func() { // each is lost in the middle of a minute, and comes back 10 s later
		conn := k.Conn
		for range connections - 1 {
			time.Sleep(140 * time.Second)
			conn.Close()
			time.Sleep(10 * time.Second)
			conn = streamtest.Connect(k.Caller, k.Server)
		}
	})
	var got strings.Builder
	var events []Result
	job := Job{Operation: getLogs, Payload: payload, Timeout: 5 * time.Second}
	err = k.c.askFeed(t.Context(), job, Target{Peer: k.Server.ID(), Name: "rig"}, func(r Result) {
		if r.Event != "" {
			events = append(events, r)
			return
		}
		var l ops.Logs
		if err := json.Unmarshal(r.Payload, &l); err != nil {
			t.Error(err)
		}
		for _, line := range l.Lines {
			got.WriteString(line.Text)
		}
	})
	want := "abcdefghijklmnopqrst"
	if refuse != nil {
		want = want[:lines/2]
	}
	if got.String() != want || streams.CodeOf(err) != streams.CodeOf(asError(refuse)) {
		t.Errorf("got %q and %v, want %q and %v", got.String(), err, want, refuse)
	}
	if len(events) != 2*(connections-1) {
		t.Errorf("told %+v", events)
	}
	for i, e := range events {
		if cut := i%2 == 0; cut && (e.Event != EventCut || e.Why == "") || !cut && (e.Event != EventBack || e.Away != 10*time.Second) {
			t.Errorf("event %d is %+v", i, e)
		}
	}
}

// asError is nil for a nil *streams.Error.
func asError(e *streams.Error) error {
	if e == nil {
		return nil
	}
	return e
}
