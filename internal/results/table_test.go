package results

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// All machines are rows, sorted as people count, and the rates are added up by algorithm.
func TestStats(t *testing.T) {
	var out bytes.Buffer
	e := console.New(strings.NewReader(""), &out, io.Discard)
	p := New(e, nil, false)
	p.Table = Stats(new(bool))
	answer := func(name string, workloads ...ops.Workload) {
		b, err := json.Marshal(ops.Stats{UptimeSeconds: 5, Workloads: workloads})
		if err != nil {
			t.Fatal(err)
		}
		p.Show(agent.Result{Target: agent.Target{Name: name}, Payload: b, Done: true})
	}
	mines := func(algorithm string, rate float64) ops.Workload {
		return ops.Workload{Name: "m", State: "running", Algorithm: algorithm, HashRate: &rate, UptimeSeconds: new(1.0), Pool: "stratum+tcp://p:1"}
	}
	answer("rig-10", mines("rx/0", 1500))
	p.Show(agent.Result{Target: agent.Target{Name: "rig-03"}, Err: streams.Errorf(streams.CodeUnavailable, "offline since 44s"), Done: true})
	answer("rig-2", mines("rx/0", 500), mines("sha256d", 3e6))
	answer("rig-1")
	if out.Len() > 0 {
		t.Errorf("before the end: %s", out.String())
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	const want = `MACHINE  UP  CPU  MEM  LOAD  TEMP  WORKLOAD  STATE    HASH RATE  SHARES  POOL
rig-1    5s    -    -     -     -  -
rig-2    5s    -    -     -     -  m         running  500.0 H/s     -/-  p:1
                                   m         running   3.0 MH/s     -/-  p:1
rig-03   offline since 44s
rig-10   5s    -    -     -     -  m         running   1.5 kH/s     -/-  p:1
4 machines, 1 of them gave no answer; 3 workloads: rx/0 2.0 kH/s, sha256d 3.0 MH/s
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// The one machine that was asked and gave no answer is no table.
func TestOneFault(t *testing.T) {
	var out, errs bytes.Buffer
	p := New(console.New(strings.NewReader(""), &out, &errs), nil, true)
	p.Table = Miners
	p.Show(agent.Result{Target: agent.Target{Name: "rig-1"}, Err: errors.New("x"), Done: true})
	if err := p.Flush(); err != nil || out.Len() > 0 || errs.String() != "swarm: rig-1: x\n" {
		t.Errorf("got %q, %q, %v", out.String(), errs.String(), err)
	}
}

func TestNatural(t *testing.T) {
	names := []string{"", "1", "2", "02", "a", "rig", "rig-1", "rig-01", "rig-2", "rig-2a", "rig-10", "rigs", "ä1"}
	for i, a := range names {
		for j, b := range names {
			if got := natural(a, b); (got < 0) != (i < j) {
				t.Errorf("%q, %q: got %d", a, b, got)
			}
		}
	}
}
