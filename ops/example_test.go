package ops_test

import (
	"context"
	"fmt"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// GetUptime is an operation of a program of its own: a family in one file.
var GetUptime = streams.Call[UptimeRequest, Uptime]{
	Family: streams.Family{Name: "uptime", Versions: []string{"1.0.0"}}, Request: "get_uptime", Reply: "uptime", Verb: ops.VerbStatsRead,
}

// UptimeRequest says in which unit.
type UptimeRequest struct {
	Unit string `json:"unit"`
}

// Validate is asked on both sides.
func (r UptimeRequest) Validate() error {
	if r.Unit != "s" && r.Unit != "min" {
		return streams.Errorf(streams.CodeInvalid, "unit %q: want s or min", r.Unit)
	}
	return nil
}

// Uptime is the answer.
type Uptime struct {
	Value float64 `json:"value"`
}

func uptime(seconds float64) ops.Operation {
	return ops.FromCall(GetUptime, func(_ context.Context, _ streams.Peer, r UptimeRequest) (Uptime, error) {
		if r.Unit == "min" {
			return Uptime{seconds / 60}, nil
		}
		return Uptime{seconds}, nil
	})
}

// A program adds an operation to those of this package.
func Example() {
	operations := append(ops.Of(nil), uptime(90)) // a worker gives its ops.Service
	everyone := streams.Config{Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil }}
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), everyone, streams.Config{})
	defer p.Close()
	if err := operations.Register(p.Mux); err != nil {
		fmt.Println(err)
	}

	op, err := operations.Find("get_uptime")
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(op.Check([]byte(`{"unti":"min"}`)) != nil)
	reply, err := op.Call(context.Background(), p.Client, p.Server.ID(), []byte(`{"unit":"min"}`))
	fmt.Println(string(reply), err)
	// Output:
	// true
	// {"value":1.5} <nil>
}
