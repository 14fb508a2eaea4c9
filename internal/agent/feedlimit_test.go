package agent

import (
	"context"
	"errors"
	"os"
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
func (k *talker) audits(t *testing.T, n int, item Audit, pause time.Duration) {
	t.Helper()
	err := GetAudit.Handle(k.Mux, func(ctx context.Context, _ streams.Peer, _ AuditRequest, send func(Audit) error) (Audit, error) {
		for range n {
			if err := send(item); err != nil {
				return Audit{}, err
			}
			time.Sleep(pause) // in the bubble
		}
		return Audit{Head: &audit.Head{Count: 1, Hash: "x"}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const forever = 1 << 40

// A worker that answers get_audit for ever once took 1.7 GB of its owner's machine in 12 s.
func TestAuditIsBounded(t *testing.T) {
	big := Audit{Reason: strings.Repeat("x", 1<<20-1024)}
	tests := []struct {
		name string
		req  AuditRequest
		n    int
		item Audit
		want streams.Code
	}{
		{"as many entries as asked for", AuditRequest{Limit: 128}, 2, Audit{Entries: make([]AuditEntry, 64)}, 0},
		{"one more", AuditRequest{Limit: 127}, 2, Audit{Entries: make([]AuditEntry, 64)}, streams.CodeTooLarge},
		{"entries for ever", AuditRequest{}, forever, Audit{Entries: make([]AuditEntry, 64)}, streams.CodeTooLarge},
		{"nearly all the bytes", AuditRequest{}, 64, big, 0},
		{"bytes for ever", AuditRequest{}, forever, big, streams.CodeTooLarge},
		{"nothing for ever", AuditRequest{}, forever, Audit{}, streams.CodeTooLarge},
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
	tests := []struct {
		name   string
		spec   streams.Spec
		req    any
		during time.Duration
		want   streams.Code
	}{
		{"get_audit", GetAudit.Spec(), AuditRequest{}, 5 * time.Second, streams.CodeTimeout},
		{"get_logs", ops.GetLogs.Spec(), ops.LogsRequest{Lines: 10_000}, 5 * time.Second, streams.CodeTimeout},
		{"get_logs --follow", ops.GetLogs.Spec(), ops.LogsRequest{Follow: true}, time.Hour, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newTalker(t)
				n := int(time.Hour / time.Second)
				k.audits(t, n, Audit{Entries: make([]AuditEntry, 1)}, time.Second)
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
				err = k.c.askFeed(t.Context(), Job{Operation: tc.spec, Payload: payload, Timeout: 5 * time.Second}, Target{Peer: k.Server.ID(), Name: "rig"}, func(Result) {})
				if took := time.Since(began); streams.CodeOf(err) != tc.want || took != tc.during {
					t.Errorf("ended after %v with %v, want %v and code %d", took, err, tc.during, tc.want)
				}
			})
		})
	}
}

// A machine gives as many lines of its log as were asked for.
func TestLogsAreBounded(t *testing.T) {
	lines := func(n int) ops.Logs { return ops.Logs{Lines: make([]logs.Line, n)} }
	for _, tc := range []struct {
		name  string
		req   ops.LogsRequest
		lines int
		want  streams.Code
	}{
		{"as asked", ops.LogsRequest{Lines: 7}, 7, 0},
		{"one more", ops.LogsRequest{Lines: 7}, 8, streams.CodeTooLarge},
		{"as by default", ops.LogsRequest{}, ops.DefaultLines, 0},
		{"one more than by default", ops.LogsRequest{}, ops.DefaultLines + 1, streams.CodeTooLarge},
		{"followed", ops.LogsRequest{Lines: 1, Follow: true}, 1000, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload, err := json.Marshal(tc.req)
			if err != nil {
				t.Fatal(err)
			}
			item, err := json.Marshal(lines(tc.lines))
			if err != nil {
				t.Fatal(err)
			}
			limit := limitOf(ops.GetLogs.Spec(), payload)
			if err := limit.take(item); streams.CodeOf(err) != tc.want {
				t.Errorf("got %v, want code %d", err, tc.want)
			}
		})
	}
	l := feedLimit{}
	if err := l.take(nil); !errors.Is(err, streams.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// A damaged memory of a machine's audit log is set aside, and the next answer begins anew.
func TestDamagedHeads(t *testing.T) {
	h, p := headsOf(t.TempDir()), streamtest.PeerID("worker")
	if err := errors.Join(h.put(p, audit.Head{Count: 7, Hash: "x"}), os.WriteFile(h.path(p), []byte(`[{"count":`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.get(p); err == nil || !strings.Contains(err.Error(), h.path(p)+".damaged") {
		t.Errorf("got %v", err)
	}
	if err := h.add(p, audit.Head{Count: 8, Hash: "y"}); err != nil {
		t.Error(err)
	}
	if got, err := h.get(p); err != nil || len(got) != 1 || got[0].Count != 8 {
		t.Errorf("got %v, %v", got, err)
	}
}
