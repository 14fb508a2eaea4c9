package ops_test

import (
	"context"
	"fmt"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// GetPower is an operation of a program of its own: a family in one file.
var GetPower = streams.Call[PowerRequest, Power]{
	Family: streams.Family{Name: "meter", Versions: []string{"1.0.0"}}, Request: "get_power", Reply: "power", Verb: "meter.read",
}

// PowerRequest says in which unit.
type PowerRequest struct {
	Unit string `json:"unit"`
}

// Validate is asked on both sides.
func (r PowerRequest) Validate() error {
	if r.Unit != "W" && r.Unit != "kW" {
		return streams.Errorf(streams.CodeInvalid, "unit %q: want W or kW", r.Unit)
	}
	return nil
}

// Power is what the machine draws.
type Power struct {
	Value float64 `json:"value"`
}

func power(watts float64) ops.Operation {
	return ops.FromCall(GetPower, func(_ context.Context, _ streams.Peer, r PowerRequest) (Power, error) {
		if r.Unit == "kW" {
			return Power{watts / 1000}, nil
		}
		return Power{watts}, nil
	})
}

// A program adds an operation to those of this package.
func Example() {
	operations := append(ops.Of(nil), power(1500)) // a worker gives its ops.Service
	everyone := streams.Config{Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil }}
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), everyone, streams.Config{})
	defer p.Close()
	if err := operations.Register(p.Mux); err != nil {
		fmt.Println(err)
	}

	op, err := operations.Find("get_power")
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(op.Check([]byte(`{"unti":"kW"}`)))
	reply, err := op.Call(context.Background(), p.Client, p.Server.ID(), []byte(`{"unit":"kW"}`))
	fmt.Println(string(reply), err)
	// Output:
	// unknown member "/unti"
	// {"value":1.5} <nil>
}
