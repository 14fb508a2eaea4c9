package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/streams"
)

// output returns what the program prints on standard output.
func outputOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != console.ExitOK {
		t.Fatalf("swarm %v: exit code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// Each operation that machines know is one of the command line, and the other way round.
func TestOperationsAreThoseOfTheRegistry(t *testing.T) {
	var want, got []string
	for _, o := range agent.Operations() {
		want = append(want, fmt.Sprintf("%s %s %s %s", o.Family.Name, o.Request, o.Reply, o.Verb))
	}
	for _, op := range operations() {
		got = append(got, fmt.Sprintf("%s %s %s %s", op.Family.Name, op.Request, op.Reply, op.Verb))
		if (op.Shape == streams.ShapeUpload) != (op.bundle != nil) || (op.bundle == nil) == (op.fill == nil) {
			t.Errorf("%s: want bundle for an upload, and fill for anything else", op.Request)
		}
	}
	for _, o := range want {
		if !slices.Contains(got, o) {
			t.Errorf("%q is in agent.Operations and not in operations() of operation.go", o)
		}
	}
	for _, o := range got {
		if !slices.Contains(want, o) {
			t.Errorf("%q is in operations(), and neither in ops.Of nor in internal/agent/operations.go", o)
		}
	}
}

// Each file of an operation has its place in the list.
func TestOperationsHaveTheirFiles(t *testing.T) {
	files, err := filepath.Glob("op_*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	for _, op := range operations() {
		name := "op_" + string(op.Request) + ".go"
		if i := slices.Index(files, name); i >= 0 {
			files = slices.Delete(files, i, i+1)
		} else {
			t.Errorf("%s has no file %s", op.Request, name)
		}
	}
	for _, name := range files {
		t.Errorf("the operation of %s is not in operations() of operation.go", name)
	}
}

// The help's list and the completions have each operation and no other.
func TestOperationsAreListed(t *testing.T) {
	_, list, _ := strings.Cut(outputOf(t, "controller", "exec", "--help"), "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for name, text := range map[string]string{"help": list, "completions": outputOf(t, "__complete", "controller", "exec", "")} {
		var got []string
		for line := range strings.Lines(text) {
			if words := strings.Fields(line); len(words) > 1 && !strings.HasPrefix(line, "     ") {
				got = append(got, words[0])
			}
		}
		if !slices.Equal(got, agent.Operations().Names()) {
			t.Errorf("%s: got %v, want %v", name, got, agent.Operations().Names())
		}
	}
}

// An operation shows its own flags only, takes them on both sides of its name, and refuses those of
// others.
func TestOperationsHaveTheirOwnFlags(t *testing.T) {
	_, flags, _ := strings.Cut(outputOf(t, "controller", "exec", "get_logs", "--help"), "\nFlags:\n")
	flags, _, _ = strings.Cut(flags, "Machine Flags:")
	if !strings.Contains(flags, "--follow") || strings.Contains(flags, "--miner") || strings.Contains(flags, "--all") {
		t.Errorf("get_logs --help shows\n%s", flags)
	}
	for _, tt := range []struct{ args, want string }{
		{"get_logs box --follow --lines 3", "no machine is named"},
		{"--follow --lines 3 get_logs box", "no machine is named"},
		{"--wait 0 --lines 3 get_logs --follow box", "no machine is named"},
		{"get_stats box --follow", "--follow is not for get_stats"},
		{"--follow get_stats box", "--follow is not for get_stats"},
		{"get_audit box --lines 3", "--lines is not for get_audit"},
		{"deploy box . --payload {}", "--payload is not for deploy"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"controller", "exec", "--mdns=false", "--state", t.TempDir()}, strings.Fields(tt.args)...)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != console.ExitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("exec %s: exit code %d, %s, want %q", tt.args, code, errs.String(), tt.want)
		}
	}
}

// A member that is misspelled is not ignored.
func TestUnknownMembersAreRefused(t *testing.T) {
	for _, op := range operations() {
		if op.fill == nil {
			continue
		}
		if _, err := op.request(`{"nonsense":1}`, nil); err == nil || !strings.Contains(err.Error(), "--payload") || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s: got %v, want an error about --payload and nonsense", op.Request, err)
		}
	}
}

// The protocol document has each operation in its table and under a heading with its members, and
// there is a vector of each message.
func TestOperationsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := regexp.MustCompile("(?m)^### .*$").FindAllString(strings.ReplaceAll(string(doc), ",", " "), -1)
	vectors := vectorTypes(t)
	for _, o := range agent.Operations() {
		right := o.Verb
		if right == "" {
			right = "public"
		}
		if row := fmt.Sprintf("| `%s` → `%s` | %s | %s |", o.Request, o.Reply, o.Shape, right); !strings.Contains(string(doc), row) {
			t.Errorf("docs/protocol.md has no row %q in the table of section 2", row)
		}
		if !slices.ContainsFunc(headings, func(h string) bool { return slices.Contains(strings.Fields(h), string(o.Request)) }) {
			t.Errorf("docs/protocol.md has no heading that names %s, with the members of its messages", o.Request)
		}
		for _, typ := range []streams.Type{o.Request, o.Reply} {
			if !vectors[typ] {
				t.Errorf("streams/testdata/vectors has no vector of %s: add one in test/foreign/payloads_test.go, and run it with -update", typ)
			}
		}
	}
}

// vectorTypes are the types of messages that have a vector.
func vectorTypes(t *testing.T) map[streams.Type]bool {
	t.Helper()
	paths, err := filepath.Glob("../../streams/testdata/vectors/*.json")
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[streams.Type]bool)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Cases []struct {
				Type streams.Type `json:"type"`
			} `json:"cases"`
		}
		if err := json.Unmarshal(b, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, c := range file.Cases {
			types[c.Type] = true
		}
	}
	return types
}
