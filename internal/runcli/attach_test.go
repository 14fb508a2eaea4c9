package runcli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// What a detached command has printed is shown once, and its exit code is that of the program where every
// byte was seen or said to be gone.
func TestAttach(t *testing.T) {
	seven := 7
	exit := func(out int64) run.Output {
		return run.Output{Exit: &run.Exit{Code: &seven, StdoutBytes: out}, Next: out}
	}
	piece := func(next int64, s string) run.Output {
		return run.Output{Stream: run.Stdout, Data: []byte(s), Next: next}
	}
	for _, tt := range []struct {
		name  string
		from  int64
		items []run.Output
		err   error // of the machine
		code  int
		out   string
		words string
	}{
		{"all of it", 0, []run.Output{{Started: &run.Started{PID: 1, ID: "x"}}, piece(3, "abc"), piece(5, "de"), exit(5)}, nil, 7, "abcde", ""},
		{"from an offset", 3, []run.Output{{Next: 3}, piece(5, "de"), exit(5)}, nil, 7, "de", ""},
		{"with a gap", 0, []run.Output{{}, {Gap: &run.Gap{From: 0, To: 3}, Next: 3}, piece(5, "de"), exit(5)}, nil, 7, "de", "3 bytes of output are kept no more"},
		{"a cut between", 0, []run.Output{{}, piece(3, "abc"), {Started: &run.Started{ID: "x"}, Next: 3}, piece(5, "de"), exit(5)}, nil, 7, "abcde", ""},
		{"a byte is missing", 0, []run.Output{{}, piece(3, "abc"), piece(6, "de"), exit(6)}, nil, 125, "abc", "output is missing"},
		{"a byte for the second time", 0, []run.Output{{}, piece(3, "abc"), piece(4, "cd"), exit(4)}, nil, 125, "abc", "output is missing"},
		{"the last one is missing", 0, []run.Output{{}, piece(3, "abc"), {Exit: &run.Exit{Code: &seven, StdoutBytes: 4}, Next: 3}}, nil, 125, "abc", "output is missing"},
		{"no end", 0, []run.Output{{}, piece(3, "abc")}, nil, 125, "abc", "did not say"},
		{"it is not there", 0, nil, errors.New("there is none"), 125, "", "there is none"},
	} {
		var out, errs bytes.Buffer
		e := console.New(nil, &out, &errs)
		c := &Command{Attach: true, Offset: tt.from}
		c.Take(e, []string{"rig-01", "x"}, -1, false, 0)
		var req run.AttachRequest
		if err := c.FillAttach(&req); err != nil || req.ID != "x" || req.Offset != tt.from {
			t.Fatalf("%+v, %v", req, err)
		}
		err := c.Do(t.Context(), results.New(e, c.Show, true), agent.Job{}, func(_ context.Context, _ agent.Job, show func(agent.Result)) (agent.Summary, error) {
			for _, o := range tt.items {
				res := said(o)
				res.Done, res.Code = false, nil
				show(res)
			}
			show(agent.Result{Target: agent.Target{Name: "rig-01"}, Type: run.Run.Reply, Feed: true, Done: true, Err: tt.err})
			return agent.Summary{OK: 1}, nil
		})
		if code := e.ExitCode(t.Context(), c.Own(err)); code != tt.code || out.String() != tt.out || !strings.Contains(errs.String(), tt.words) {
			t.Errorf("%s: exit code %d, want %d; %q, want %q; %s", tt.name, code, tt.code, out.String(), tt.out, errs.String())
		}
	}
}

func TestAttachWhat(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		chosen bool
		ok     bool
	}{
		{[]string{"rig-01", "x"}, false, true}, {[]string{"rig-01"}, false, true}, {nil, false, false}, {[]string{"a", "b", "c"}, false, false}, {[]string{"x"}, true, false},
	} {
		c := &Command{Attach: true}
		c.Take(console.New(nil, new(bytes.Buffer), new(bytes.Buffer)), tt.args, -1, tt.chosen, 0)
		if err := c.FillAttach(new(run.AttachRequest)); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.args, err)
		}
	}
	for name, c := range map[string]*Command{"a terminal": {Detach: true, TTY: true, argv: []string{"x"}}, "input": {Detach: true, Input: true, argv: []string{"x"}}} {
		if err := c.Fill(new(run.Request)); err == nil {
			t.Errorf("--detach with %s is taken", name)
		}
	}
	c := &Command{Detach: true, argv: []string{"x"}, given: true} // a pipe that nobody means
	var r run.Request
	if err := c.Fill(&r); err != nil || !r.Detach || r.Input {
		t.Errorf("%+v, %v", r, err)
	}
}
