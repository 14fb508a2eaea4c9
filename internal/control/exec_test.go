package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// life is what one controller does of a job before it ends.
type life func(req execRequest, emit func(execLine) error)

// lives lets one controller after the other serve, each of which ends when it has done its part of a
// job. It returns what they were asked.
func lives(t *testing.T, all ...life) (r *Remote, asked func() []execRequest) {
	t.Helper()
	path := SocketPath(t.TempDir())
	var requests []execRequest
	running := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(running)
		for i, do := range all {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Error(err)
				return
			}
			mux := http.NewServeMux()
			srv := &http.Server{Handler: mux}
			helloVerb.serve(mux, func(_ context.Context, _ struct{}, emit func(struct{}) error) error { return emit(struct{}{}) })
			execVerb.serve(mux, func(ctx context.Context, req execRequest, emit func(execLine) error) error {
				requests = append(requests, req)
				do(req, emit)
				go srv.Close()
				<-ctx.Done()
				return nil
			})
			if i == 0 {
				close(ready)
			}
			srv.Serve(l)
		}
	}()
	<-ready
	r, err := dial(t.Context(), path, GreetWithin)
	if err != nil {
		t.Fatal(err)
	}
	r.patience = 100 * time.Millisecond
	t.Cleanup(func() { r.Close() })
	return r, func() []execRequest { <-running; return requests }
}

func logsOf(t *testing.T, req ops.LogsRequest) agent.Job {
	t.Helper()
	op, err := agent.Operations().Find("get_logs")
	if err != nil {
		t.Fatal(err)
	}
	return agent.Job{Operation: op, Payload: encoded(t, req), Timeout: time.Second}
}

func encoded(t *testing.T, v any) jsontext.Value {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return b
}

// A log that is followed goes on with the next controller, on each machine from where it stood; what
// is done is not asked for again, and counts.
func TestFollowOutlivesServe(t *testing.T) {
	names := []string{"a", "b", "c"}
	var machines []agent.Target
	for _, n := range names {
		machines = append(machines, agent.Target{Peer: streamtest.PeerID(n), Name: n})
	}
	item := func(m int, next int64, text string) *agent.Result {
		l := ops.Logs{Name: "x", Next: next, Run: "r", Lines: []logs.Line{{Text: text}}}
		return &agent.Result{Target: machines[m], Type: "logs", Feed: true, Payload: encoded(t, l)}
	}
	done := func(m int, err error) *agent.Result {
		return &agent.Result{Target: machines[m], Type: "logs", Feed: true, Done: true, Err: err}
	}
	refused := streams.Errorf(streams.CodeForbidden, "no")
	r, asked := lives(t,
		func(_ execRequest, emit func(execLine) error) {
			for i := range machines {
				emit(execLine{Asked: &machines[i]})
			}
			emit(execLine{Chosen: true})
			emit(execLine{Result: item(0, 7, "first")})
			emit(execLine{Result: done(1, refused)})
		},
		func(_ execRequest, emit func(execLine) error) { // it loses the machine, too, before it goes on
			emit(execLine{Asked: &machines[0]})
			emit(execLine{Chosen: true})
			emit(execLine{Result: &agent.Result{Target: machines[0], Event: agent.EventCut, Why: "again"}})
		},
		func(req execRequest, emit func(execLine) error) {
			emit(execLine{Result: item(0, 9, "second")})
			emit(execLine{Result: done(0, nil)})
			emit(execLine{Result: item(2, 1, "late")})
			emit(execLine{Result: done(2, nil)})
			emit(execLine{Summary: &agent.Summary{OK: 2, Unconfirmed: 1}})
		},
	)
	var told []string
	job := logsOf(t, ops.LogsRequest{Name: "x", Follow: true, Lines: 5})
	sum, err := r.Exec(t.Context(), job, agent.Selection{All: true}, func(res agent.Result) {
		text := res.Target.Name + " " + string(res.Event)
		var l ops.Logs
		if json.Unmarshal(res.Payload, &l) == nil && len(l.Lines) > 0 {
			text += l.Lines[0].Text
		}
		if res.Done {
			text += "done"
		}
		told = append(told, text)
		if res.Event == agent.EventCut && res.Why == "" || res.Event == agent.EventBack && res.Away <= 0 {
			t.Errorf("told %+v", res)
		}
	})
	if want := (agent.Summary{OK: 2, Denied: 1, Unconfirmed: 1}); err != nil || sum.OK != want.OK || sum.Denied != want.Denied ||
		sum.Total() != want.Total() || sum.Unconfirmed != want.Unconfirmed {
		t.Errorf("%+v, %v; want %+v", sum, err, want)
	}
	events := func(name string) (out []string) {
		for _, text := range told {
			if rest, ok := strings.CutPrefix(text, name+" "); ok {
				out = append(out, rest)
			}
		}
		return out
	}
	for name, want := range map[string][]string{
		"a": {"first", "cut", "back", "second", "done"}, "b": {"done"}, "c": {"cut", "back", "late", "done"},
	} {
		if got := events(name); !slices.Equal(got, want) {
			t.Errorf("of %s: %v, want %v", name, got, want)
		}
	}
	requests := asked()
	if len(requests) != 3 || len(requests[0].Resumes) != 0 {
		t.Fatalf("asked %+v", requests)
	}
	for _, req := range requests[1:] {
		if len(req.Resumes) != 2 {
			t.Fatalf("asked to go on with %+v", req.Resumes)
		}
		for _, m := range req.Resumes {
			var from ops.LogsRequest
			if m.Payload != nil {
				if err := json.Unmarshal(m.Payload, &from); err != nil {
					t.Error(err)
				}
			}
			switch m.Peer {
			case machines[0].Peer:
				if from.Offset == nil || *from.Offset != 7 || from.Run != "r" || !from.Follow {
					t.Errorf("a goes on with %+v", from)
				}
			case machines[2].Peer:
				if m.Payload != nil {
					t.Errorf("c, which said nothing, goes on with %s", m.Payload)
				}
			default:
				t.Errorf("asked to go on with %s", m.Peer)
			}
		}
	}
}

// What cannot be asked for again without harm, or of which nobody knows whom to ask, ends with the
// controller; so does what no other controller goes on with.
func TestWhatEndsWithServe(t *testing.T) {
	rig := agent.Target{Peer: streamtest.PeerID("rig"), Name: "rig"}
	start, err := agent.Operations().Find("start_miner")
	if err != nil {
		t.Fatal(err)
	}
	begin := func(chosen bool) life {
		return func(_ execRequest, emit func(execLine) error) {
			emit(execLine{Asked: &rig})
			if chosen {
				emit(execLine{Chosen: true})
			}
		}
	}
	follow := logsOf(t, ops.LogsRequest{Name: "x", Follow: true})
	for _, tc := range []struct {
		name  string
		job   agent.Job
		lives []life
		told  int
	}{
		{"a command", agent.Job{Operation: start, Payload: []byte("{}"), Timeout: time.Second}, []life{begin(true)}, 0},
		{"a log that ends", logsOf(t, ops.LogsRequest{Name: "x"}), []life{begin(true)}, 0},
		{"machines not all known", follow, []life{begin(false)}, 1},
		{"no other controller", follow, []life{begin(true)}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, asked := lives(t, tc.lives...)
			told := 0
			_, err := r.Exec(t.Context(), tc.job, agent.Selection{}, func(agent.Result) { told++ })
			if !errors.Is(err, ErrServeEnded) || told != tc.told {
				t.Errorf("%v, told %d", err, told)
			}
			if got := len(asked()); got != 1 {
				t.Errorf("asked %d times", got)
			}
		})
	}
}
