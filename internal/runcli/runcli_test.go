package runcli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// screen is a view with what it has printed.
type screen struct {
	*view
	out, errs bytes.Buffer
}

func newScreen(single, raw bool) *screen {
	s := new(screen)
	s.view = newView(results.New(console.New(strings.NewReader(""), &s.out, &s.errs), nil, single), single, raw)
	return s
}

func (s *screen) say(t *testing.T, name string, o run.Output) {
	t.Helper()
	b, err := json.Marshal(o)
	if err == nil {
		res := agent.Result{Target: agent.Target{Name: name}, Payload: b, Feed: true, Done: o.Exit != nil}
		res.Target.Peer = ""
		if o.Exit != nil {
			code := o.Exit.ShellCode()
			res.Code = &code
			s.note(res)
		}
		err = s.show(res)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// said is what a machine says of a command.
func said(o run.Output) agent.Result {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	res := agent.Result{Target: agent.Target{Name: "rig-01"}, Type: run.Run.Reply, Payload: b, Feed: true}
	if o.Exit != nil {
		code := o.Exit.ShellCode()
		res.Done, res.Code = true, &code
	}
	return res
}

func text(s string) run.Output { return run.Output{Stream: run.Stdout, Data: []byte(s)} }

// What one machine prints into a pipe arrives byte for byte.
func TestBytesAsTheyAre(t *testing.T) {
	s := newScreen(true, false)
	const odd = "a\x00\xff\x1b[31m\r\nno end"
	s.say(t, "rig-01", text(odd))
	s.say(t, "rig-01", run.Output{Stream: run.Stderr, Data: []byte("\x1berr")})
	if s.out.String() != odd || s.errs.String() != "\x1berr" {
		t.Errorf("got %q and %q", s.out.String(), s.errs.String())
	}
}

// Lines of several machines stand behind their names: none can make one of another, and none is longer
// than 8 KiB.
func TestLinesOfSeveral(t *testing.T) {
	one := 1
	for _, raw := range []bool{false, true} {
		s := newScreen(false, raw)
		s.say(t, "rig-01", text("a\nb"))
		s.say(t, "rig-01", text("c\n\nx\rrig-02 | fake\x1b[2J\n"))
		s.say(t, "rig-01", run.Output{Stream: run.Stderr, Data: []byte("oops")})
		s.say(t, "rig-01", run.Output{Exit: &run.Exit{Code: &one}})
		want := "rig-01 | a\nrig-01 | bc\nrig-01 | \nrig-01 | x rig-02 | fake\ufffd[2J\n"
		if raw {
			want = "rig-01 | a\nrig-01 | bc\nrig-01 | \nrig-01 | x\rrig-02 | fake\x1b[2J\n"
		}
		if got := s.out.String(); got != want {
			t.Errorf("raw %v: got %q, want %q", raw, got, want)
		}
		if got, want := s.errs.String(), "rig-01 | oops\nswarm: rig-01: exit code 1\n"; got != want {
			t.Errorf("raw %v: got %q, want %q", raw, got, want)
		}
	}
	lost := newScreen(false, false)
	lost.say(t, "rig-01", text("half a li"))
	lost.note(agent.Result{Target: agent.Target{Name: "rig-01"}, Done: true, Err: os.ErrClosed})
	if got, want := lost.out.String(), "rig-01 | half a li\n"; got != want {
		t.Errorf("of a machine that was lost: got %q, want %q", got, want)
	}
	for _, tt := range []struct {
		length, lines int
	}{{maxLine, 1}, {maxLine + 1, 2}, {3*maxLine - 1, 3}, {3*maxLine + 1, 4}} {
		s := newScreen(false, false)
		line := strings.Repeat("x", tt.length) + "\n"
		for len(line) > 0 { // in pieces, as it comes
			n := min(len(line), 5000)
			s.say(t, "rig-01", text(line[:n]))
			line = line[n:]
		}
		got := s.out.String()
		if n := strings.Count(got, "\n"); n != tt.lines || strings.Count(got, "x") != tt.length {
			t.Errorf("%d bytes are %d lines with %d bytes, want %d lines", tt.length, n, strings.Count(got, "x"), tt.lines)
		}
	}
}

// A character that comes in two pieces is one.
func TestWholeRunes(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "é": 2, "a\xc3": 1, "a\xe2\x82": 1, "a\xf0\x9f\x92": 1, "a\xff": 2, "a\x80": 2, "line\r": 4,
	} {
		if got := wholeRunes([]byte(s)); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}

// The exit code is that of the command on one machine, and that of all commands on several.
func TestOutcome(t *testing.T) {
	code := func(n int) *int { return &n }
	for _, tt := range []struct {
		name   string
		single bool
		codes  []*int
		sum    agent.Summary
		want   int
		last   string
	}{
		{"0", true, []*int{code(0)}, agent.Summary{OK: 1}, 0, ""},
		{"7", true, []*int{code(7)}, agent.Summary{Failed: 1}, 7, ""},
		{"a signal", true, []*int{code(137)}, agent.Summary{Failed: 1}, 137, ""},
		{"not known", true, []*int{nil}, agent.Summary{Unreachable: 1}, 125, ""},
		{"all", false, []*int{code(0), code(0)}, agent.Summary{OK: 2}, 0, "swarm: exit code 0 on 2 of 2 machines\n"},
		{"some", false, []*int{code(0), code(3)}, agent.Summary{OK: 1, Failed: 1}, 3, "swarm: exit code 0 on 1 of 2 machines; not on m (exit code 3)\n"},
		{"none", false, []*int{code(3), nil}, agent.Summary{Failed: 2}, 2, "swarm: exit code 0 on 0 of 2 machines; not on m (exit code 3), m (not known)\n"},
		{"one of --all", false, []*int{code(3)}, agent.Summary{Failed: 1}, 2, ""},
	} {
		s := newScreen(tt.single, false)
		for _, c := range tt.codes {
			s.note(agent.Result{Target: agent.Target{Name: "m"}, Done: true, Code: c})
		}
		got := s.ExitCode(t.Context(), s.outcome(t.Context(), tt.sum))
		if got != tt.want || s.errs.String() != tt.last {
			t.Errorf("%s: exit code %d, want %d; %q, want %q", tt.name, got, tt.want, s.errs.String(), tt.last)
		}
	}
}

// The exit code of a command that has ended is told also where nobody reads what it printed any more.
func TestCodeWithoutAReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	e := console.New(nil, w, new(bytes.Buffer))
	c := &Command{single: true}
	three := 3
	for _, code := range []*int{&three, nil} {
		c.view = nil
		err := c.Do(t.Context(), results.New(e, nil, true), agent.Job{}, func(ctx context.Context, _ agent.Job, show func(agent.Result)) (agent.Summary, error) {
			<-ctx.Done() // the reader is gone
			show(agent.Result{Done: true, Code: code, Err: ctx.Err()})
			return agent.Summary{Failed: 1}, nil
		})
		want := 3
		if code == nil {
			want = 141
		}
		if got := e.ExitCode(t.Context(), err); got != want {
			t.Errorf("exit code %d, want %d", got, want)
		}
	}
}

// Nothing is read from a terminal or a device that nobody asked for; a pipe and a file are sent.
func TestGiven(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if given(null) || !given(r) || given(nil) {
		t.Errorf("a device: %v, a pipe: %v, none: %v", given(null), given(r), given(nil))
	}
}

func TestFill(t *testing.T) {
	e := console.New(nil, new(bytes.Buffer), new(bytes.Buffer))
	c := &Command{Dir: "/x", Env: []string{"A=1=2"}}
	targets := c.Take(e, []string{"rig-01", "ls", "-l"}, 1, false, 1500e6)
	var r run.Request
	if err := c.Fill(&r); err != nil || len(targets) != 1 || strings.Join(r.Argv, " ") != "ls -l" || r.Dir != "/x" || r.Env["A"] != "1=2" || r.TimeoutMS != 1500 || r.Input {
		t.Errorf("%v: %v %+v", err, targets, r)
	}
	for name, c := range map[string]*Command{"no command": {}, "no value": {Env: []string{"A"}, argv: []string{"x"}}} {
		if err := c.Fill(new(run.Request)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
