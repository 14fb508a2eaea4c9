package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// talker is a worker that answers what it likes.
type talker struct {
	*streamtest.Pipe
	c *Controller
}

func newTalker(t *testing.T) *talker {
	t.Helper()
	serve := streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true },
	}
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), serve, streams.Config{})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &talker{p, &Controller{Node: &node.Node{Client: p.Client}}}
}

// audits answers get_audit with items of so many entries, n times.
func (k *talker) audits(t *testing.T, n int, item audit.Answer, pause time.Duration) {
	t.Helper()
	err := audit.GetAudit.Handle(k.Mux, func(ctx context.Context, _ streams.Peer, _ audit.Request, send func(audit.Answer) error) (audit.Answer, error) {
		for range n {
			if err := send(item); err != nil {
				return audit.Answer{}, err
			}
			time.Sleep(pause) // in the bubble
		}
		return audit.Answer{Head: &audit.Head{Count: 1, Hash: "x"}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const forever = 1 << 40

// A worker that answers get_audit for ever once took 1.7 GB of its owner's machine in 12 s.
func TestAuditIsBounded(t *testing.T) {
	big := audit.Answer{Reason: strings.Repeat("x", 1<<20-1024)}
	tests := []struct {
		name string
		req  audit.Request
		n    int
		item audit.Answer
		want streams.Code
	}{
		{"as many entries as asked for", audit.Request{Limit: 128}, 2, audit.Answer{Entries: make([]audit.Entry, 64)}, 0},
		{"one more", audit.Request{Limit: 127}, 2, audit.Answer{Entries: make([]audit.Entry, 64)}, streams.CodeTooLarge},
		{"entries for ever", audit.Request{}, forever, audit.Answer{Entries: make([]audit.Entry, 64)}, streams.CodeTooLarge},
		{"nearly all the bytes", audit.Request{}, 64, big, 0},
		{"bytes for ever", audit.Request{}, forever, big, streams.CodeTooLarge},
		{"nothing for ever", audit.Request{}, forever, audit.Answer{}, streams.CodeTooLarge},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			k := newTalker(t)
			k.audits(t, tc.n, tc.item, 0)
			rep := AuditReport{Target: Target{Peer: k.Server.ID(), Name: "rig"}}
			err := rep.read(t.Context(), k.Client, tc.req)
			if streams.CodeOf(err) != tc.want {
				t.Errorf("got %v, want code %d", err, tc.want)
			}
			if want := tc.n * len(tc.item.Entries); err == nil && len(rep.Entries) != want || err != nil && rep.Entries != nil {
				t.Errorf("%d entries are kept", len(rep.Entries))
			}
		})
	}
}

// The timeout is for all of an answer, but where a log is followed.
func TestFeedTimeout(t *testing.T) {
	getLogs, err := Operations().Find("get_logs")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		op     ops.Operation
		req    any
		during time.Duration
		want   streams.Code
	}{
		{"get_audit", audit.Operation(nil), audit.Request{}, 5 * time.Second, streams.CodeTimeout},
		{"get_logs", getLogs, ops.LogsRequest{Lines: 10_000}, 5 * time.Second, streams.CodeTimeout},
		{"get_logs --follow", getLogs, ops.LogsRequest{Follow: true}, time.Hour, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newTalker(t)
				n := int(time.Hour / time.Second)
				k.audits(t, n, audit.Answer{Entries: make([]audit.Entry, 1)}, time.Second)
				err := ops.GetLogs.Handle(k.Mux, func(_ context.Context, _ streams.Peer, _ ops.LogsRequest, send func(ops.Logs) error) (ops.Logs, error) {
					for range n {
						if err := send(ops.Logs{Lines: []logs.Line{{Text: "x"}}}); err != nil {
							return ops.Logs{}, err
						}
						time.Sleep(time.Second)
					}
					return ops.Logs{}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := json.Marshal(tc.req)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				err = k.c.askFeed(t.Context(), Job{Operation: tc.op, Payload: payload, Timeout: 5 * time.Second}, Target{Peer: k.Server.ID(), Name: "rig"}, func(Result) {})
				if took := time.Since(began); streams.CodeOf(err) != tc.want || took != tc.during {
					t.Errorf("ended after %v with %v, want %v and code %d", took, err, tc.during, tc.want)
				}
			})
		})
	}
}
