package run

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

func TestRequestBounds(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	env := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprint("V", i)] = ""
		}
		return m
	}
	many := func(n int) []string { return append([]string{"p"}, make([]string, n-1)...) }
	for _, tt := range []struct {
		name string
		req  Request
		ok   bool
	}{
		{"a program", Request{Argv: []string{"p"}}, true},
		{"nothing", Request{}, false},
		{"an empty program", Request{Argv: []string{"", "a"}}, false},
		{"an empty argument", Request{Argv: []string{"p", ""}}, true},
		{"most arguments", Request{Argv: many(driver.MaxArgs)}, true},
		{"one argument more", Request{Argv: many(driver.MaxArgs + 1)}, false},
		{"most bytes", Request{Argv: []string{"p", x(driver.MaxArgBytes - 1)}}, true},
		{"one byte more", Request{Argv: []string{"p", x(driver.MaxArgBytes)}}, false},
		{"a zero byte", Request{Argv: []string{"p", "a\x00"}}, false},
		{"a directory", Request{Argv: []string{"p"}, Dir: "/" + x(MaxDir-1)}, true},
		{"a longer directory", Request{Argv: []string{"p"}, Dir: "/" + x(MaxDir)}, false},
		{"a directory of Windows", Request{Argv: []string{"p"}, Dir: `C:\x`}, true},
		{"a relative directory", Request{Argv: []string{"p"}, Dir: "x"}, false},
		{"most variables", Request{Argv: []string{"p"}, Env: env(MaxEnv)}, true},
		{"one variable more", Request{Argv: []string{"p"}, Env: env(MaxEnv + 1)}, false},
		{"most bytes of variables", Request{Argv: []string{"p"}, Env: map[string]string{"A": x(MaxEnvBytes - 1)}}, true},
		{"one byte of variables more", Request{Argv: []string{"p"}, Env: map[string]string{"A": x(MaxEnvBytes)}}, false},
		{"a bad name", Request{Argv: []string{"p"}, Env: map[string]string{"A=B": ""}}, false},
		{"a name that begins with a digit", Request{Argv: []string{"p"}, Env: map[string]string{"1A": ""}}, false},
		{"no name", Request{Argv: []string{"p"}, Env: map[string]string{"": ""}}, false},
		{"a name of ours", Request{Argv: []string{"p"}, Env: map[string]string{"SWARM_WORKLOAD": "/"}}, false},
		{"a zero byte in a value", Request{Argv: []string{"p"}, Env: map[string]string{"A": "\x00"}}, false},
		{"the longest time", Request{Argv: []string{"p"}, TimeoutMS: MaxTimeout.Milliseconds()}, true},
		{"a longer time", Request{Argv: []string{"p"}, TimeoutMS: MaxTimeout.Milliseconds() + 1}, false},
		{"a time that overflows", Request{Argv: []string{"p"}, TimeoutMS: 1 << 62}, false},
		{"a negative time", Request{Argv: []string{"p"}, TimeoutMS: -1}, false},
		{"detached", Request{Argv: []string{"p"}, Detach: true}, true},
		{"detached with input", Request{Argv: []string{"p"}, Detach: true, Input: true}, false},
		{"detached with a terminal", Request{Argv: []string{"p"}, Detach: true, TTY: &TTY{24, 80, ""}}, false},
		{"the largest terminal", Request{Argv: []string{"p"}, TTY: &TTY{MaxSide, MaxSide, x(MaxTerm)}}, true},
		{"the smallest terminal", Request{Argv: []string{"p"}, TTY: &TTY{1, 1, ""}}, true},
		{"a row more", Request{Argv: []string{"p"}, TTY: &TTY{MaxSide + 1, 1, ""}}, false},
		{"a column more", Request{Argv: []string{"p"}, TTY: &TTY{1, MaxSide + 1, ""}}, false},
		{"no rows", Request{Argv: []string{"p"}, TTY: &TTY{0, 1, ""}}, false},
		{"no columns", Request{Argv: []string{"p"}, TTY: &TTY{1, 0, ""}}, false},
		{"less than no rows", Request{Argv: []string{"p"}, TTY: &TTY{-1, 1, ""}}, false},
		{"a longer kind of terminal", Request{Argv: []string{"p"}, TTY: &TTY{1, 1, x(MaxTerm + 1)}}, false},
		{"a kind of terminal", Request{Argv: []string{"p"}, TTY: &TTY{24, 80, "screen.xterm-256color+x_1"}}, true},
		{"a kind of terminal that is a path", Request{Argv: []string{"p"}, TTY: &TTY{24, 80, "a/b"}}, false},
		{"a kind of terminal that leads out", Request{Argv: []string{"p"}, TTY: &TTY{24, 80, ".."}}, false},
		{"a kind of terminal with a blank", Request{Argv: []string{"p"}, TTY: &TTY{24, 80, "a b"}}, false},
	} {
		if err := tt.req.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	utf8 := func(n int) map[string]string { return map[string]string{"LC_ALL": x(n)} }
	for _, tt := range []struct {
		name string
		msg  interface{ Validate() error }
		ok   bool
	}{
		{"the most data", Input{Data: make([]byte, MaxData)}, true},
		{"a byte more", Input{Data: make([]byte, MaxData+1)}, false},
		{"taken less than nothing", Input{Taken: -1}, false},
		{"a list", AttachRequest{}, true},
		{"a detached command", AttachRequest{ID: "k4xq2m", Offset: 1 << 40, Stop: true}, true},
		{"the longest ID", AttachRequest{ID: x(MaxID)}, true},
		{"a longer ID", AttachRequest{ID: x(MaxID + 1)}, false},
		{"an ID that is a path", AttachRequest{ID: "../x"}, false},
		{"a negative offset", AttachRequest{ID: "x", Offset: -1}, false},
		{"an offset of nothing", AttachRequest{Offset: 1}, false},
		{"the end of nothing", AttachRequest{Stop: true}, false},
		{"a gap that ends before it begins", Output{Gap: &Gap{2, 1}}, false},
		{"the most detached commands", Output{Detached: make([]Detached, MaxDetached)}, true},
		{"one detached command more", Output{Detached: make([]Detached, MaxDetached+1)}, false},
		{"a shell", ShellRequest{}, true},
		{"a shell at a terminal", ShellRequest{TTY: &TTY{24, 80, "xterm"}, Locale: map[string]string{"LANG": "de_DE.UTF-8@euro"}, Input: true}, true},
		{"a shell at no terminal's size", ShellRequest{TTY: &TTY{0, 80, "xterm"}}, false},
		{"the longest locale", ShellRequest{Locale: utf8(maxLocale)}, true},
		{"a longer locale", ShellRequest{Locale: utf8(maxLocale + 1)}, false},
		{"an empty locale", ShellRequest{Locale: utf8(0)}, false},
		{"a variable that is no locale", ShellRequest{Locale: map[string]string{"LD_PRELOAD": "x"}}, false},
		{"a variable that begins as a locale", ShellRequest{Locale: map[string]string{"LC_X": "x"}}, false},
		{"a locale that is a path", ShellRequest{Locale: map[string]string{"LANG": "../x"}}, false},
		{"the largest size", Input{Size: &Size{MaxSide, MaxSide}}, true},
		{"a row more", Input{Size: &Size{MaxSide + 1, 1}}, false},
		{"a column more", Input{Size: &Size{1, MaxSide + 1}}, false},
		{"no rows", Input{Size: &Size{0, 1}}, false},
		{"the most output", Output{Stream: Stdout, Data: make([]byte, MaxData)}, true},
		{"a byte of output more", Output{Stream: Stdout, Data: make([]byte, MaxData+1)}, false},
		{"output to no stream", Output{Data: []byte("x")}, false},
	} {
		if err := tt.msg.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What is recorded of a request is bounded, in one line, and has no value of a variable.
func TestSummary(t *testing.T) {
	r := Request{Argv: []string{"sh", "-c", "a\nb"}, Dir: "/x", Env: map[string]string{"TOKEN": "secret", "A": "1"}, TimeoutMS: 1500, TTY: &TTY{24, 80, "vt100"}}
	if got, want := r.Summary(), `"sh" "-c" "a\nb" dir="/x" env=A,TOKEN timeout=1.5s tty`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Argv = append(r.Argv, strings.Repeat("é", 10_000))
	if got := r.Summary(); len(got) > 2*maxSummary || strings.Contains(got, "secret") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

// FuzzMessages: whatever a peer sends is refused or within the bounds, and is told in one short line.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		`{"argv":["sh","-c","x"],"dir":"/tmp","env":{"A":"b"},"input":true,"timeoutMs":1}`, `{"argv":["\u0000"]}`, `{"data":"/wD+","end":true,"taken":1}`,
		`{"argv":["top"],"tty":{"rows":24,"cols":80,"term":"xterm"}}`, `{"size":{"rows":50,"cols":132}}`, `{"locale":{"LANG":"C.UTF-8"}}`,
		`{"started":{"pid":1}}`, `{"stream":"stdout","offset":1,"data":"YQ=="}`, `{"exit":{"signal":"SIGKILL","number":9}}`, `{"exit":{"code":-1}}`, `{}`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			r Request
			l ShellRequest
			i Input
			o Output
		)
		m := streams.Message{Payload: b}
		if m.ParsePayload(&r) == nil && (len(r.Argv) == 0 || len(r.Argv) > driver.MaxArgs || r.Timeout() < 0 || strings.ContainsAny(r.Summary(), "\n\x00\x1b")) {
			t.Errorf("taken: %+v", r)
		}
		if m.ParsePayload(&l) == nil {
			for name, value := range l.Locale {
				if !IsLocale(name, value) {
					t.Errorf("taken: %+v", l)
				}
			}
		}
		if m.ParsePayload(&i) == nil && (len(i.Data) > MaxData || i.Taken < 0 || i.Size != nil && (i.Size.Rows < 1 || i.Size.Cols > MaxSide)) {
			t.Errorf("taken: %+v", i)
		}
		if m.ParsePayload(&o) == nil && o.Exit != nil {
			_, _, _ = o.Exit.ShellCode(), o.Exit.OK(), o.Exit.String()
		}
	})
}
