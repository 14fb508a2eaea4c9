package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// forged is the machine that a hostile value would like to see in a line of its own.
const forged = "box-99"

// hostiles end a line, or look as if they did, steer the terminal, or hide.
func hostiles() []string {
	var out []string
	for _, sep := range []string{
		"\n", "\r", "\r\n", "\v", "\f", "\t", "\u0085", "\u2028", "\u2029", // lines and columns
		"\x00", "\x07", "\x1b[2K\x1b[1A", "\x7f", "\u0080", "\u009b1A", "\u009f", // controls
		"\u00ad", "\u061c", "\u180e", "\u200b", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff", "\ufff9",
		"\U000e0001", "\U000e0041", "\U0001d173", "\xff", "\xc2",
	} {
		out = append(out, "a"+sep+forged+" all is well")
	}
	return out
}

// fill sets every string, and every slice, map and pointer of them, below v.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		if v.Type().Elem().Kind() != reflect.Struct || v.CanSet() {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), s)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), s)
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[jsontext.Value]() {
			b, _ := json.Marshal(strings.ToValidUTF8(s, "?"))
			v.Set(reflect.ValueOf(jsontext.Value(b)))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), s)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, s)
		fill(value, s)
		v.SetMapIndex(key, value)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	}
}

func filled[T any](s string) (v T) {
	fill(reflect.ValueOf(&v).Elem(), s)
	return v
}

// printers are those that show what others have said. lines is how many lines one of them prints of the value.
func printers() []struct {
	name  string
	lines int
	print func(a *app, s string) error
} {
	result := func(typ streams.Type, payload func(s string) any) func(a *app, s string) error {
		return func(a *app, s string) error {
			s = strings.ToValidUTF8(s, "?")
			b, err := json.Marshal(payload(s))
			if err == nil {
				a.newResults(agent.Job{}, false).result(agent.Result{Target: target(s), Type: typ, Payload: b, Feed: true})
			}
			return err
		}
	}
	return []struct {
		name  string
		lines int
		print func(a *app, s string) error
	}{
		{"get_stats", 2, result(ops.GetStats.Reply, func(s string) any { return filled[ops.Stats](s) })},
		{"miner_ack", 1, result(ops.StartMiner.Reply, func(s string) any { return filled[ops.MinerAck](s) })},
		{"get_logs", 3, result(ops.GetLogs.Reply, func(s string) any { return filled[ops.Logs](s) })},
		{"deploy", 1, result(deploy.Deploy.Reply, func(s string) any { return filled[deploy.Ack](s) })},
		{"another answer", 1, result("other", func(s string) any { return s })},
		{"an answer that cannot be read", 1, result(ops.GetStats.Reply, func(s string) any { return []string{s} })},
		{"an error", 1, func(a *app, s string) error {
			a.newResults(agent.Job{}, false).result(agent.Result{Target: target(s), Err: errors.New(s)})
			return nil
		}},
		{"an error of a machine", 1, func(a *app, s string) error {
			a.newResults(agent.Job{}, false).result(agent.Result{Target: target(s), Err: &streams.Error{Code: 500, Message: s, Trace: s}})
			return nil
		}},
		{"watch", 2, func(a *app, s string) error {
			if a.json {
				return a.printJSON(filled[pushedLine](strings.ToValidUTF8(s, "?")))
			}
			a.newResults(agent.Job{}, false).stats(target(s), filled[ops.Stats](s))
			return nil
		}},
		{"audit", 3, func(a *app, s string) error {
			return a.printAudit(agent.AuditReport{Target: target(s), Entries: []audit.Entry{filled[audit.Entry](s), filled[audit.Entry](s)}, Broken: s}, true)
		}},
		{"audit failed", 1, func(a *app, s string) error {
			return a.printAudit(agent.AuditReport{Target: target(s), Err: errors.New(s)}, true)
		}},
		{"doctor", 2, func(a *app, s string) error { return a.printDiagnosis(filled[diagnose.Diagnosis](s)) }},
		{"events", 1, func(a *app, s string) error { return a.printEvent(filled[agent.Event](s)) }},
		{"events of an unnamed", 1, func(a *app, s string) error {
			e := filled[agent.Event](s)
			e.Name = ""
			return a.printEvent(e)
		}},
		{"info", 10, func(a *app, s string) error {
			i := filled[nodeInfo](s)
			i.Extra = map[string]any{s: s}
			return a.print(i, func() error { return a.printInfo(i) })
		}},
		{"peers", 3, func(a *app, s string) error { return a.listPeers([]agent.PeerLine{filled[agent.PeerLine](s)}) }},
		{"ping", 1, func(a *app, s string) error { return a.printPing(target(s), filled[pingLine](s), nil) }},
		{"ping failed", 1, func(a *app, s string) error { return a.printPing(target(s), filled[pingLine](s), errors.New(s)) }},
		{"told", 1, func(a *app, s string) error {
			return a.print(filled[toldLine](s), func() error { return a.stderr.block("", "-") })
		}},
		{"a question", 1, func(a *app, s string) error {
			_, err := a.confirm(s, false)
			return err
		}},
		{"demo", 5, func(a *app, s string) error {
			d := &demo{a: a, total: make(map[string]any)}
			return d.step(context.Background(), "step", func(context.Context) (string, error) { return "$ x\n" + strings.ReplaceAll(s, "\n", ""), nil }) // its lines are those of commands, which have cleaned them
		}},
	}
}

// target is a machine that calls itself something hostile.
func target(s string) agent.Target { return agent.Target{Peer: peer.ID(s), Name: s, Claimed: s} }

// Whatever a machine puts into any field, it has no line of another machine, steers no terminal and hides nothing.
func TestPrintersAndHostileValues(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		for _, p := range printers() {
			t.Run(fmt.Sprintf("%s, json %v", p.name, asJSON), func(t *testing.T) {
				for _, s := range hostiles() {
					var out bytes.Buffer
					a := &app{stdin: strings.NewReader("\n"), stdout: &printer{&out}, stderr: &printer{&out}, terminal: &out, json: asJSON, log: slog.New(slog.DiscardHandler)}
					if err := p.print(a, s); err != nil && !asJSON { // JSON refuses what is not UTF-8
						t.Fatalf("%q: %v", s, err)
					}
					checkPrinted(t, s, out.String(), p.lines, asJSON)
				}
			})
		}
	}
}

func checkPrinted(t *testing.T, s, out string, lines int, asJSON bool) {
	t.Helper()
	if got := strings.Count(out, "\n"); got > lines {
		t.Errorf("%q makes %d lines, want %d at most:\n%s", s, got, lines, out)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimLeft(line, " "), forged) {
			t.Errorf("%q has a line of its own: %q", s, line)
		}
		if asJSON && strings.HasPrefix(line, "{") && !jsontext.Value(line).IsValid() {
			t.Errorf("%q makes what is no JSON: %q", s, line)
		}
	}
	for _, r := range strings.ReplaceAll(out, "\n", "") {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%q comes out with %U: %q", s, r, out)
		}
	}
}

// An error of several lines keeps them, and none of them begins where a line of a machine would.
func TestErrorsOfSeveralLines(t *testing.T) {
	var out bytes.Buffer
	a := &app{stderr: &printer{&out}}
	a.exitCode(t.Context(), errors.New("first\nbox-99: all is well\n\u202ethird"))
	if want := "swarm: first\n       box-99: all is well\n       \ufffdthird\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestEscapeJSON(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢 😀":            "plain é 漢 😀",
		"\u009b":                 `\u009b`,
		"\u2028x":                `\u2028x`,
		"\U000e0041\u200b\u007f": `\udb40\udc41\u200b\u007f`,
	} {
		got := escapeJSON([]byte(`"` + in + `"`))
		var back string
		if string(got) != `"`+want+`"` || json.Unmarshal(got, &back) != nil || back != in {
			t.Errorf("%q is written as %s and read as %q, want %s", in, got, back, want)
		}
	}
}

// The number of characters stays, so that columns do.
func TestColumnsStay(t *testing.T) {
	var out bytes.Buffer
	p := &printer{&out}
	p.printf("%-6s|%6.2f|%4d|%q|\n", "a\n\u200bb", 1.5, 7, "x\n")
	w := p.table("A", "B")
	w.row("x\ty", "z")
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if want := "a \ufffdb  |  1.50|   7|\"x\\n\"|\nA    B\nx y  z\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// Nothing is printed past the layer: what fmt or another writer puts into one of the outputs is not cleaned by field.
func TestNobodyPrintsPastTheLayer(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "printer.go" || file == "output.go" {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range past(f) {
			t.Errorf("%s: print with the methods of the printer instead", fset.Position(at.Pos()))
		}
	}
}

// past returns where a file uses an output in another way than by the methods of the layer.
func past(f *ast.File) (out []ast.Node) {
	methods := map[string]bool{"printf": true, "println": true, "block": true, "table": true, "ours": true}
	takers := map[string]bool{"isTerminal": true, "SetOut": true, "SetErr": true, "RunRefpow": true, "GenerateWithConfig": true}
	fine := make(map[ast.Node]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := ""
			switch fun := n.Fun.(type) {
			case *ast.Ident:
				name = fun.Name
			case *ast.SelectorExpr:
				name = fun.Sel.Name
				if methods[name] {
					fine[fun.X] = true
				}
				if x, ok := fun.X.(*ast.Ident); ok && x.Name == "fmt" && strings.HasPrefix(name, "Print") {
					out = append(out, n)
				}
			}
			for _, arg := range n.Args {
				fine[arg] = fine[arg] || takers[name]
			}
		case *ast.SelectorExpr:
			if isOutput(n) && !fine[n] {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

// isOutput reports whether x is a.stdout or a.stderr.
func isOutput(x *ast.SelectorExpr) bool {
	of := ""
	switch owner := x.X.(type) {
	case *ast.Ident:
		of = owner.Name
	case *ast.SelectorExpr:
		of = owner.Sel.Name
	}
	return of == "a" && (x.Sel.Name == "stdout" || x.Sel.Name == "stderr")
}
