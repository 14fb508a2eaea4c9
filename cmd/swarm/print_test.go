package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/cpcli"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
	"github.com/seed-b490fa12/swarm/internal/forwardcli"
	"github.com/seed-b490fa12/swarm/internal/pingcli"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/signing"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/cp"
	"github.com/seed-b490fa12/swarm/ops/power"
	commands "github.com/seed-b490fa12/swarm/ops/run"
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

// fillAll sets every string, and every slice, map and pointer of them, below v.
func fillAll(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		if v.Type().Elem().Kind() != reflect.Struct || v.CanSet() {
			v.Set(reflect.New(v.Type().Elem()))
			fillAll(v.Elem(), s)
		}
	case reflect.Struct:
		if at, ok := v.Addr().Interface().(*time.Time); ok {
			*at = time.UnixMilli(1)
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillAll(v.Field(i), s)
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[jsontext.Value]() {
			b, _ := json.Marshal(strings.ToValidUTF8(s, "?"))
			v.Set(reflect.ValueOf(jsontext.Value(b)))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillAll(v.Index(0), s)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillAll(key, s)
		fillAll(value, s)
		v.SetMapIndex(key, value)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	}
}

func filled[T any](s string) (v T) {
	fillAll(reflect.ValueOf(&v).Elem(), s)
	return v
}

// shown prints an answer to an operation as exec does.
func shown(e *env, op operation, res agent.Result) error {
	p := op.printer(e, false)
	p.Show(res)
	return p.Flush()
}

// printers are those that show what others have said. lines is how many lines one of them prints of
// the value.
func printers() []struct {
	name  string
	lines int
	print func(e *env, s string) error
} {
	result := func(op operation, payload func(s string) any) func(e *env, s string) error {
		return func(e *env, s string) error {
			s = strings.ToValidUTF8(s, "?")
			b, err := json.Marshal(payload(s))
			if err == nil {
				return shown(e, op, agent.Result{Target: target(s), Type: op.Reply, Payload: b, Feed: op.table == nil})
			}
			return err
		}
	}
	return []struct {
		name  string
		lines int
		print func(e *env, s string) error
	}{
		{"get_stats", 2, result(opGetStats(), func(s string) any { return filled[ops.Stats](s) })},
		{"miner_ack", 2, result(opStartMiner(), func(s string) any { return filled[ops.MinerAck](s) })},
		{"get_logs", 4, result(opGetLogs(), func(s string) any { return filled[ops.Logs](s) })},
		{"deploy", 1, result(opDeploy(), func(s string) any { return filled[deploy.Ack](s) })},
		{"run", 1, result(opRun(), func(s string) any {
			return commands.Output{Stream: commands.Stdout, Offset: 1, Data: []byte(strings.ReplaceAll(s, "\n", "") + "\n")}
		})},
		{"run ended", 1, result(opRun(), func(s string) any {
			code := 1
			return commands.Output{Started: &commands.Started{PID: 1, TTY: true, ID: s}, Next: 1, Gap: &commands.Gap{From: 1, To: 2}, Exit: &commands.Exit{
				Code: &code, Signal: s, Number: 9, Why: s, StdoutBytes: 1, StderrBytes: 1, Seconds: 1,
			}}
		})},
		{"run detached", 2, result(opRun(), func(s string) any {
			return commands.Output{Detached: []commands.Detached{filled[commands.Detached](s)}}
		})},
		{"another answer", 1, result(operation{Spec: streams.Spec{Reply: "other"}}, func(s string) any { return s })},
		{"an answer that cannot be read", 2, result(opGetStats(), func(s string) any { return []string{s} })},
		{"an error", 1, func(e *env, s string) error {
			return shown(e, opGetStats(), agent.Result{Target: target(s), Err: errors.New(s)})
		}},
		{"an error of a machine", 1, func(e *env, s string) error {
			return shown(e, opGetStats(), agent.Result{Target: target(s), Err: &streams.Error{Code: 500, Message: s, Trace: s}})
		}},
		{"power", 1, result(opPower(), func(s string) any { return power.Ack{Action: power.Reboot, Boot: s} })},
		{"get_power", 1, result(opGetPower(), func(s string) any { return power.State{Boot: s, Failed: s} })},
		{"forward", 1, func(e *env, s string) error {
			return (&forwardcli.View{Env: e}).Show(agent.ForwardEvent{Event: agent.EventListening, Target: target(s), Route: agent.Route{Listen: s, To: s}})
		}},
		{"forward failed", 1, func(e *env, s string) error {
			return (&forwardcli.View{Env: e}).Show(agent.ForwardEvent{Event: agent.EventFailed, Target: target(s), Route: agent.Route{Listen: s, To: s}, Err: errors.New(s)})
		}},
		{"cp failed", 1, func(e *env, s string) error {
			return cpcli.NewView(e, agent.Copy{}).Show(agent.CopyEvent{Event: agent.EventFile, Target: target(s), File: &cp.File{Path: s, State: cp.StateFailed, Err: errors.New(s)}})
		}},
		{"cp", 1, func(e *env, s string) error {
			v := cpcli.NewView(e, agent.Copy{})
			b := cp.Beginning{From: s, To: s}
			if err := v.Show(agent.CopyEvent{Event: agent.EventBegin, Target: target(s), Begin: &b}); err != nil {
				return err
			}
			return v.Show(agent.CopyEvent{Event: agent.EventCopied, Target: target(s), Total: &cp.Total{Beginning: b}})
		}},
		{"watch", 2, func(e *env, s string) error {
			if e.JSON {
				return e.PrintJSON(filled[pushedLine](strings.ToValidUTF8(s, "?")))
			}
			showStats(results.New(e, show(showStats), false), target(s), filled[ops.Stats](s))
			return nil
		}},
		{"audit", 3, func(e *env, s string) error {
			return results.Audit(e, agent.AuditReport{Target: target(s), Entries: []audit.Entry{filled[audit.Entry](s), filled[audit.Entry](s)}, Broken: s}, true)
		}},
		{"audit failed", 1, func(e *env, s string) error {
			return results.Audit(e, agent.AuditReport{Target: target(s), Err: errors.New(s)}, true)
		}},
		{"doctor", 2, func(e *env, s string) error { return printDiagnosis(e, filled[diagnose.Diagnosis](s)) }},
		{"events", 1, func(e *env, s string) error { return printEvent(e, filled[agent.Event](s)) }},
		{"events of an unnamed", 1, func(e *env, s string) error {
			ev := filled[agent.Event](s)
			ev.Name = ""
			return printEvent(e, ev)
		}},
		{"info", 10, func(e *env, s string) error {
			i := filled[nodeInfo](s)
			return e.Print(i, func() error { return printInfo(e, i) })
		}},
		{"peers", 3, func(e *env, s string) error { return listPeers(e, []agent.PeerLine{filled[agent.PeerLine](s)}, false) }},
		{"connection lost", 1, event(agent.EventCut)},
		{"connection back", 1, event(agent.EventBack)},
		{"ping", 1, func(e *env, s string) error { return pingcli.Print(e, target(s), filled[pingcli.Line](s), nil) }},
		{"ping failed", 1, func(e *env, s string) error {
			return pingcli.Print(e, target(s), filled[pingcli.Line](s), errors.New(s))
		}},
		{"told", 1, func(e *env, s string) error {
			return e.Print(filled[signing.Told](s), func() error { return e.Stderr.Block("", "-") })
		}},
		{"a question", 1, func(e *env, s string) error {
			_, err := e.Ask.Confirm(s)
			return err
		}},
		{"demo", 5, func(e *env, s string) error {
			// Its lines are those of commands, which have cleaned them.
			return e.Stdout.Block("   ", "$ x\n"+strings.ReplaceAll(s, "\n", ""))
		}},
	}
}

// event prints what becomes of a connection.
func event(kind agent.ResultEvent) func(*env, string) error {
	return func(e *env, s string) error {
		results.New(e, opGetLogs().show, false).Show(agent.Result{Target: target(s), Event: kind, Why: s, Away: time.Second})
		return nil
	}
}

// target is a machine that calls itself something hostile.
func target(s string) agent.Target { return agent.Target{Peer: peer.ID(s), Name: s, Claimed: s} }

// testEnv is that of a command that prints everything to out.
func testEnv(out io.Writer) *env {
	e := console.New(strings.NewReader("\n"), out, out)
	e.Log = slog.New(slog.DiscardHandler)
	return e
}

// Whatever a machine puts into any field, it has no line of another machine, steers no terminal and
// hides nothing.
func TestPrintersAndHostileValues(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		for _, p := range printers() {
			t.Run(fmt.Sprintf("%s, json %v", p.name, asJSON), func(t *testing.T) {
				for _, s := range hostiles() {
					var out bytes.Buffer
					e := testEnv(&out)
					e.JSON = asJSON
					// JSON refuses what is not UTF-8.
					if err := p.print(e, s); err != nil && !asJSON {
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

// terminal is an output of so many columns.
type terminal struct {
	bytes.Buffer
	width int
}

func (t *terminal) Columns() int { return t.width }

// rows are the lines as a terminal shows them.
func (t *terminal) rows() (out []string) {
	for line := range strings.Lines(t.String()) {
		runes := []rune(strings.TrimSuffix(line, "\n"))
		for len(runes) > t.width {
			out, runes = append(out, string(runes[:t.width])), runes[t.width:]
		}
		out = append(out, string(runes))
	}
	return out
}

// blanks are the fillers below, and what a line is folded with.
const blanks = " \u3000\u00a0\u3164\u2800\u115f\u1160\uffa0\t"

// However long a value is made, and with what, its end does not stand where a line of another
// machine would begin.
func TestPrintersAndLongValues(t *testing.T) {
	for _, p := range printers() {
		t.Run(p.name, func(t *testing.T) {
			for _, filler := range []string{" ", "\u3000", "\u00a0", "\u3164", "\u2800", "\u115f", "\u1160", "\uffa0", "\t", "a", "a "} {
				for n := range 130 {
					s := "a" + strings.Repeat(filler, n) + forged + "  9d  1%  2%  0.10  xmrig  mining  99.9 GH/s"
					out := &terminal{width: 100}
					if err := p.print(testEnv(out), s); err != nil {
						t.Fatal(err)
					}
					for _, row := range out.rows() {
						if strings.HasPrefix(strings.TrimLeft(row, blanks), forged) {
							t.Fatalf("%d times %q make a row: %q\n%s", n, filler, row, out)
						}
					}
				}
			}
		})
	}
}

// An error of several lines keeps them, and none of them begins where a line of a machine would.
func TestErrorsOfSeveralLines(t *testing.T) {
	var out bytes.Buffer
	testEnv(&out).ExitCode(t.Context(), errors.New("first\nbox-99: all is well\n\u202ethird"))
	if want := "swarm: first\n       box-99: all is well\n       \ufffdthird\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// Nothing is printed past the layer: what fmt or another writer puts into one of the outputs is not
// cleaned by field.
func TestNobodyPrintsPastTheLayer(t *testing.T) {
	var files []string
	for _, dir := range []string{".", "../../internal/connect", "../../internal/console", "../../internal/demo", "../../internal/results", "../../internal/signing"} {
		found, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(found), err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "main.go" {
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
	methods := map[string]bool{"Printf": true, "Println": true, "Block": true, "Table": true, "Sheet": true, "Raw": true}
	takers := map[string]bool{"IsTerminal": true, "SetOut": true, "SetErr": true, "RunRefpow": true, "GenerateWithConfig": true, "ListMembers": true, "Peers": true,
		"WhileRead": true}
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

// isOutput reports whether x is the Stdout or Stderr of an env.
func isOutput(x *ast.SelectorExpr) bool {
	switch of := x.X.(type) {
	case *ast.Ident:
		if of.Name == "os" || of.Name == "cmd" {
			return false
		}
	case *ast.SelectorExpr:
		if of.Sel.Name == "cmd" {
			return false
		}
	}
	return x.Sel.Name == "Stdout" || x.Sel.Name == "Stderr"
}
