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
	} {
		if err := tt.req.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, tt := range []struct {
		name string
		msg  interface{ Validate() error }
		ok   bool
	}{
		{"the most data", Input{Data: make([]byte, MaxData)}, true},
		{"a byte more", Input{Data: make([]byte, MaxData+1)}, false},
		{"taken less than nothing", Input{Taken: -1}, false},
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
	r := Request{Argv: []string{"sh", "-c", "a\nb"}, Dir: "/x", Env: map[string]string{"TOKEN": "secret", "A": "1"}, TimeoutMS: 1500}
	if got, want := r.Summary(), `"sh" "-c" "a\nb" dir="/x" env=A,TOKEN timeout=1.5s`; got != want {
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
		`{"started":{"pid":1}}`, `{"stream":"stdout","offset":1,"data":"YQ=="}`, `{"exit":{"signal":"SIGKILL","number":9}}`, `{"exit":{"code":-1}}`, `{}`, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			r Request
			i Input
			o Output
		)
		m := streams.Message{Payload: b}
		if m.ParsePayload(&r) == nil && (len(r.Argv) == 0 || len(r.Argv) > driver.MaxArgs || r.Timeout() < 0 || strings.ContainsAny(r.Summary(), "\n\x00\x1b")) {
			t.Errorf("taken: %+v", r)
		}
		if m.ParsePayload(&i) == nil && (len(i.Data) > MaxData || i.Taken < 0) {
			t.Errorf("taken: %+v", i)
		}
		if m.ParsePayload(&o) == nil && o.Exit != nil {
			_, _, _ = o.Exit.ShellCode(), o.Exit.OK(), o.Exit.String()
		}
	})
}
