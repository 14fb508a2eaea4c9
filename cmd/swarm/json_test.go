package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/cpcli"
	"github.com/seed-b490fa12/swarm/internal/forwardcli"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/powercli"
	"github.com/seed-b490fa12/swarm/internal/signing"
	"github.com/seed-b490fa12/swarm/test/contract"
)

var update = flag.Bool("update", false, "write testdata/lines.golden anew")

// whole are lines that no printer with a function of its own makes.
func whole() map[string]any {
	return map[string]any{
		"a failure": lines.Failure{Error: filledPointer[lines.Error]()}, "status": filled[statusLine]("x"),
		"members": filled[signing.Member]("x"), "grant": filled[signing.Change]("x"), "invite": filled[inviteEvent]("x"),
		"join": filled[joinedLine]("x"), "key restore": filled[restoredLine]("x"), "worker": filled[readyLine]("x"),
		"forward": filled[forwardcli.Line]("x"), "power": filled[powercli.Line]("x"), "cp": filled[cpcli.Line]("x"),
	}
}

func filledPointer[T any]() *T { v := filled[T]("x"); return &v }

// TestShapes prints each kind of line with all its members. Their names and types are a contract:
// what testdata/lines.golden loses breaks programs, and what it gains belongs in docs/json.md.
func TestShapes(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	members, err := contract.New(text)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	add := func(name string, print func(*env) error) {
		var out bytes.Buffer
		e := testEnv(&out)
		e.JSON = true
		if err := print(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := members.CheckAll(out.String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for line := range strings.Lines(out.String()) {
			all = append(all, name+" "+shape(t, line))
		}
	}
	for _, p := range printers() {
		if p.name == "demo" || p.name == "a question" || p.name == "another answer" || strings.HasPrefix(p.name, "an answer") {
			continue // no JSON of ours
		}
		add(p.name, func(e *env) error { return p.print(e, "x") })
	}
	for name, line := range whole() {
		add(name, func(e *env) error { return e.PrintJSON(line) })
	}
	golden(t, all)
}

func golden(t *testing.T, shapes []string) {
	t.Helper()
	slices.Sort(shapes)
	got := strings.Join(slices.Compact(shapes), "\n") + "\n"
	path := filepath.Join("testdata", "lines.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(string(want), "\r\n", "\n"); got != want {
		t.Errorf("the shapes have changed: go test ./cmd/swarm -run Shapes -update\ngot\n%swant\n%s", got, want)
	}
}

// shape is a line with types in place of values.
func shape(t *testing.T, line string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(typed("", v), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func typed(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if name == "labels" {
			return "labels"
		}
		out := make(map[string]any)
		for k, item := range v {
			out[k] = typed(k, item)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, typed("", item))
		}
		return out
	case string:
		if strings.HasPrefix(v, "1970-01-01T") {
			return "time"
		}
		return "text"
	case float64:
		return "number"
	}
	return fmt.Sprintf("%T", v)
}
