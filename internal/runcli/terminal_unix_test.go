//go:build unix

package runcli

import (
	"bytes"
	"context"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// person is one at a terminal.
type person struct {
	t *testing.T
	*console.Env
	keys  *os.File // what the person types goes here
	tty   *os.File
	modes *term.State // of the terminal, before

	mu   sync.Mutex
	seen bytes.Buffer // guarded by mu
}

func newPerson(t *testing.T) *person {
	t.Helper()
	keys, tty, err := pty.Open()
	if err == nil {
		err = pty.Setsize(keys, &pty.Winsize{Rows: 30, Cols: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, Env: console.New(tty, tty, tty), keys: keys, tty: tty}
	if p.modes, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(p, keys)
	}()
	t.Cleanup(func() {
		keys.WriteString("\n") // wakes who still reads
		tty.Close()
		<-done
		keys.Close()
	})
	return p
}

func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(b)
}

func (p *person) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *person) types(text string) {
	if _, err := p.keys.WriteString(text); err != nil {
		p.t.Error(err)
	}
}

// raw reports whether the terminal is in other modes than before.
func (p *person) raw() bool {
	now, err := term.GetState(int(p.tty.Fd()))
	if err != nil {
		p.t.Error(err)
	}
	return !reflect.DeepEqual(now, p.modes)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// The terminal is as before on every way out, and what a program has switched on there is switched off.
func TestTerminalIsGivenBack(t *testing.T) {
	three := 3
	for _, tt := range []struct {
		name  string
		act   func(p *person, stop context.CancelFunc, show func(agent.Result))
		code  int
		words string
	}{
		{"it exits", func(_ *person, _ context.CancelFunc, show func(agent.Result)) {
			show(said(run.Output{Exit: &run.Exit{Code: &three}}))
		}, 3, ""},
		{"the person leaves", func(p *person, _ context.CancelFunc, _ func(agent.Result)) { p.types("\r~.") }, 125, "left rig-01"},
		{"the link is lost", func(_ *person, _ context.CancelFunc, show func(agent.Result)) {
			show(agent.Result{Target: agent.Target{Name: "rig-01"}, Type: run.Run.Reply, Done: true, Feed: true, Err: streams.Errorf(streams.CodeUnavailable, "the link is gone")})
		}, 125, "the link is gone"},
		{"it is told to end", func(_ *person, stop context.CancelFunc, _ func(agent.Result)) { stop() }, 130, ""},
		{"a hangup", func(p *person, _ context.CancelFunc, _ func(agent.Result)) {
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				p.t.Error(err)
			}
		}, 130, ""},
		{"a panic", func(*person, context.CancelFunc, func(agent.Result)) { panic("a fault") }, -1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPerson(t)
			c := &Command{TTY: true}
			c.Take(p.Env, []string{"rig-01", "vi"}, 1, false, 0)
			var req run.Request
			if err := c.Fill(&req); err != nil || req.TTY == nil || req.TTY.Rows != 30 || req.TTY.Cols != 100 {
				t.Fatalf("%+v, %v", req, err)
			}
			if p.raw() {
				t.Error("the terminal is changed before the command runs")
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			code := -1
			func() {
				defer func() { recover() }()
				err := c.Do(ctx, results.New(p.Env, c.Show, true), agent.Job{}, func(leaving context.Context, j agent.Job, show func(agent.Result)) (agent.Summary, error) {
					show(said(run.Output{Started: &run.Started{PID: 1, TTY: true}}))
					if !p.raw() {
						t.Error("the terminal is not changed")
					}
					p.types("k\x03")
					var typed []byte
					for len(typed) < 2 {
						typed = append(typed, <-j.Input...)
					}
					if string(typed) != "k\x03" {
						t.Errorf("typed %q", typed)
					}
					show(said(run.Output{Stream: run.Stdout, Data: []byte("\x1b[?1049h\x1b[?1000hscreen\r\n")}))
					waitFor(t, "the screen", func() bool { return strings.Contains(p.screen(), "screen\r\n") })
					ended := false
					tt.act(p, stop, func(res agent.Result) { ended = true; show(res) })
					sum := agent.Summary{Failed: 1}
					if ended {
						return sum, nil
					}
					go func() {
						for leaving.Err() == nil {
							select {
							case <-j.Input:
							case <-leaving.Done():
							}
						}
					}()
					select {
					case <-leaving.Done():
						show(agent.Result{Target: agent.Target{Name: "rig-01"}, Done: true, Feed: true, Err: leaving.Err()})
					case <-j.Stop:
						show(said(run.Output{Exit: &run.Exit{Signal: "SIGHUP", Number: 1, Why: run.WhyStopped}}))
					case <-time.After(10 * time.Second):
						t.Error("nobody ends the command")
					}
					return sum, nil
				})
				code = p.ExitCode(ctx, c.Own(err))
			}()
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if p.raw() {
				t.Error("the terminal is not as it was")
			}
			waitFor(t, "what undoes it", func() bool { return strings.Contains(p.screen(), "\x1b[?1000l\x1b[?1049l") })
			waitFor(t, tt.words, func() bool { return strings.Contains(p.screen(), tt.words) })
		})
	}
}

// Another size of the terminal is told, and so is one that it had before the command ran.
func TestSizesAreTold(t *testing.T) {
	p := newPerson(t)
	c := &Command{TTY: true}
	c.Take(p.Env, []string{"rig-01", "vi"}, 1, false, 0)
	if err := pty.Setsize(p.keys, &pty.Winsize{Rows: 1, Cols: 1}); err != nil {
		t.Fatal(err)
	}
	zero := 0
	err := c.Do(t.Context(), results.New(p.Env, c.Show, true), agent.Job{}, func(_ context.Context, j agent.Job, show func(agent.Result)) (agent.Summary, error) {
		show(said(run.Output{Started: &run.Started{PID: 1, TTY: true}}))
		for _, want := range []run.Size{{Rows: 1, Cols: 1}, {Rows: 50, Cols: 132}, {Rows: run.MaxSide, Cols: usualCols}} {
			if got := <-j.Sizes; got != want {
				t.Errorf("told %+v, want %+v", got, want)
			}
			next := &pty.Winsize{Rows: 50, Cols: 132}
			if want.Rows == 50 {
				next = &pty.Winsize{Rows: 60_000, Cols: 0} // nonsense
			}
			if err := pty.Setsize(p.keys, next); err != nil {
				t.Error(err)
			}
			if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
				t.Error(err)
			}
		}
		show(said(run.Output{Exit: &run.Exit{Code: &zero}}))
		return agent.Summary{OK: 1}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A terminal is for a person who has one and names one machine; a shell does without where there is none.
func TestWhoHasATerminal(t *testing.T) {
	p := newPerson(t)
	piped := console.New(p.tty, new(bytes.Buffer), p.tty)
	program := console.New(p.tty, p.tty, p.tty)
	program.JSON = true
	for _, tt := range []struct {
		name   string
		env    *console.Env
		args   []string
		chosen bool
		words  string
	}{
		{"a person", p.Env, []string{"rig-01", "vi"}, false, ""},
		{"output into a pipe", piped, []string{"rig-01", "vi"}, false, "needs a terminal"},
		{"input from a pipe", console.New(strings.NewReader(""), p.tty, p.tty), []string{"rig-01", "vi"}, false, "needs a terminal"},
		{"a program", program, []string{"rig-01", "vi"}, false, "--json"},
		{"all machines", p.Env, []string{"vi"}, true, "one machine"},
	} {
		c := &Command{TTY: true}
		c.Take(tt.env, tt.args, len(tt.args)-1, tt.chosen, 0)
		err := c.Fill(new(run.Request))
		if (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.words)
		}
	}
	for _, tt := range []struct {
		name       string
		env        *console.Env
		args       []string
		dash       int
		tty, input bool
		words      string
	}{
		{"a person", p.Env, []string{"rig-01"}, -1, true, true, ""},
		{"output into a pipe", piped, []string{"rig-01"}, -1, false, true, ""},
		{"input from a pipe", console.New(strings.NewReader("ls"), p.tty, p.tty), []string{"rig-01"}, -1, false, true, ""},
		{"no input", console.New(nil, p.tty, p.tty), []string{"rig-01"}, -1, false, false, ""},
		{"two machines", p.Env, []string{"rig-01", "rig-02"}, -1, false, false, "one machine"},
		{"a command", p.Env, []string{"rig-01", "ls"}, 1, false, false, "swarm run"},
	} {
		c := &Command{Shell: true}
		c.Take(tt.env, tt.args, tt.dash, false, 0)
		var r run.ShellRequest
		err := c.FillShell(&r)
		if (err == nil) != (tt.words == "") || err != nil && !strings.Contains(err.Error(), tt.words) {
			t.Errorf("a shell, %s: %v, want %q", tt.name, err, tt.words)
		}
		if err == nil && ((r.TTY != nil) != tt.tty || r.Input != tt.input) {
			t.Errorf("a shell, %s: %+v", tt.name, r)
		}
	}
}

// What is sent of the person's variables is the language and the kind of terminal, and no nonsense.
func TestVariablesOfThePerson(t *testing.T) {
	for name, value := range map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "", "LC_TIME": "a b", "LC_PAPER": "C", "LC_SECRET": "x", "TERM": "../x", "TOKEN": "x"} {
		t.Setenv(name, value)
	}
	env := locale(map[string]string{"LC_PAPER": "mine"})
	delete(env, "LC_CTYPE") // of who runs this test
	if want := (map[string]string{"LANG": "de_DE.UTF-8", "LC_PAPER": "mine"}); !reflect.DeepEqual(env, want) {
		t.Errorf("got %v, want %v", env, want)
	}
	if tty := newPerson(t).request(t); tty.Term != "" {
		t.Errorf("TERM is %q", tty.Term)
	}
}

func (p *person) request(t *testing.T) *run.TTY {
	t.Helper()
	tty, err := newTerminal(p.Env, true)
	if err != nil {
		t.Fatal(err)
	}
	return tty.request()
}
