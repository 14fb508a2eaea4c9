package rules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// TestFinders shows each finder something to find: a rule that never fires
// would look the same as one that is kept.
func TestFinders(t *testing.T) {
	lines := func(fset *token.FileSet, ids []*ast.Ident) (out []string) {
		for _, id := range ids {
			out = append(out, fmt.Sprint(id.Name, fset.Position(id.Pos()).Line))
		}
		return out
	}
	for _, tt := range []struct {
		name, src string
		find      func(*token.FileSet, *ast.File) []string
		want      []string
	}{
		{
			name: "package variables that change",
			src: `package p
import "other"
var m, n, o = map[string]int{}, 0, other.New()
func f() { m["a"] = 1; n++; delete(m, "a"); o.Field.X = 2 }
func g() { m, n := 1, 2; m = n; var o other.T; o.Field = m }
func h() int { return m["a"] + n }`,
			find: func(fset *token.FileSet, f *ast.File) []string { return lines(fset, changes(fset, []*ast.File{f})) },
			want: []string{"m4", "n4", "m4", "o4"},
		},
		{
			name: "package variables that are made to change",
			src: `package p
import ("sync"; "sync/atomic")
var mu sync.Mutex
var n atomic.Int64
var pool sync.Pool
var plain = 1
func f() { var mu sync.Mutex; mu.Lock() }`,
			find: func(fset *token.FileSet, f *ast.File) []string { return lines(fset, guarded([]*ast.File{f})) },
			want: []string{"mu3", "n4"},
		},
		{
			name: "exported names without words",
			src: `package p
type A struct{}
// B has.
type B struct{}
func C() {}
func (a *A) D() {}
func (a A) Error() string { return "" }
type e struct{}
func (e) F() {}
func g() {}`,
			find: func(fset *token.FileSet, f *ast.File) (out []string) {
				for _, d := range f.Decls {
					out = append(out, lines(fset, undocumented(d))...)
				}
				return out
			},
			want: []string{"A2", "C5", "D6"},
		},
		{
			name: "files that are opened by package os",
			src: `package p
import ("os"; "durable")
func f() { os.Open("a"); durable.Open("a"); os.Lstat("a") }
var g = os.ReadFile
func h(root *os.Root) { root.Open("a") }`,
			find: func(fset *token.FileSet, f *ast.File) []string { return lines(fset, opens(f)) },
			want: []string{"Open3", "ReadFile4", "Open5"},
		},
		{
			name: "tests that sleep",
			src: `package p
import ("testing"; "time")
func TestA(t *testing.T) { time.Sleep(1) }
func TestB(t *testing.T) { for !done() { time.Sleep(1) } }
func program() { time.Sleep(1) }`,
			find: func(fset *token.FileSet, f *ast.File) (out []string) {
				for _, pos := range sleeps(f) {
					out = append(out, fmt.Sprint(fset.Position(pos).Line))
				}
				return out
			},
			want: []string{"3"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "p.go", tt.src, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.find(fset, f); !slices.Equal(got, tt.want) {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

func TestUnwantedPatterns(t *testing.T) {
	for _, tt := range []struct {
		line string
		want bool
	}{
		{"see " + "/ho" + "me/somebody/notes", true},
		{"// TO" + "DO: later", true},
		{"https://regis" + "try.example.org/x", true},
		{"not " + "implemented", true},
		{"the framework and /swarm/ops/1.0.0", false},
		{"/var/lib/swarm/worker", false},
		{"a homework", false},
	} {
		got := false
		for _, rx := range unwanted {
			got = got || rx.MatchString(tt.line)
		}
		if got != tt.want {
			t.Errorf("%q: unwanted %v, want %v", tt.line, got, tt.want)
		}
	}
}
