package rules_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A type or a package beyond these is several: each part with a state and a loop of its own becomes a
// package below, and gets the functions that it needs.
const (
	mostMethods = 40   // of a type
	mostFiles   = 5    // with methods of a type
	mostLines   = 5000 // of a package, without its tests
	mostLevels  = 4    // of packages from host down that import one another
)

func TestTypesAndPackagesAreOfOnePiece(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		files := make(map[string]*ast.File)
		lines := 0
		for _, f := range p.sources(t, fset) {
			path := fset.Position(f.Pos()).Filename
			files[filepath.Base(path)] = f
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte("\n"))
		}
		if lines > mostLines {
			t.Errorf("%s has %d lines without its tests, at most %d are wanted", p.name(), lines, mostLines)
		}
		for typ, m := range methodsOf(files) {
			if len(m.names) > mostMethods || len(m.files) > mostFiles {
				t.Errorf("%s %s has %d methods in %d files, at most %d in %d are wanted",
					p.name(), typ, len(m.names), len(m.files), mostMethods, mostFiles)
			}
		}
	}
}

// methods are those of one type, and where they are.
type methods struct{ names, files map[string]bool }

// methodsOf finds the methods of all types in a package. Files for other systems have some twice.
func methodsOf(files map[string]*ast.File) map[string]methods {
	all := make(map[string]methods)
	for name, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			typ := receiver(fn.Recv)
			m, ok := all[typ]
			if !ok {
				m = methods{make(map[string]bool), make(map[string]bool)}
				all[typ] = m
			}
			m.names[fn.Name.Name], m.files[name] = true, true
		}
	}
	return all
}

func receiver(recv *ast.FieldList) string {
	e := recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	switch x := e.(type) {
	case *ast.IndexExpr:
		e = x.X
	case *ast.IndexListExpr:
		e = x.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// TestLevelsOfHost keeps what stands in the folder host flat: a reader of one package has few to read
// before it.
func TestLevelsOfHost(t *testing.T) {
	imports := make(map[string][]string)
	for _, p := range packages(t) {
		if !matches("host/...", p.name()) {
			continue
		}
		for _, path := range p.Imports {
			if name, ours := strings.CutPrefix(path, module+"/"); ours && matches("host/...", name) {
				imports[p.name()] = append(imports[p.name()], name)
			}
		}
	}
	if len(imports["host"]) < 3 {
		t.Fatalf("host imports %v: the test has lost them", imports["host"])
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if way := longestWay(imports, name); len(way) > mostLevels {
			t.Errorf("%d levels, at most %d are wanted: %s", len(way), mostLevels, strings.Join(way, " → "))
		}
	}
}

// longestWay is the longest chain of imports that begins with name.
func longestWay(imports map[string][]string, name string) []string {
	var longest []string
	for _, next := range imports[name] {
		if way := longestWay(imports, next); len(way) > len(longest) {
			longest = way
		}
	}
	return append([]string{name}, longest...)
}

// TestStreamsStandAlone: a program that needs typed messages only takes streams with its own parts, and
// nothing else of ours.
func TestStreamsStandAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() != "streams" {
			continue
		}
		for _, path := range p.Deps {
			if name, ours := strings.CutPrefix(path, module+"/"); ours && !strings.HasPrefix(name, "streams/") {
				t.Errorf("streams depends on %s", name)
			}
		}
		return
	}
	t.Error("there is no package streams")
}

func TestRoomsFinders(t *testing.T) {
	files := make(map[string]*ast.File)
	for name, src := range map[string]string{
		"a.go":         "package p\ntype A struct{}\nfunc (A) B() {}\nfunc (a *A) C() {}\nfunc D() {}\ntype G[T any] struct{}\nfunc (G[T]) H() {}",
		"a_linux.go":   "package p\nfunc (*A) E() {}",
		"a_windows.go": "package p\nfunc (*A) E() {}",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	got := methodsOf(files)
	if a := got["A"]; len(a.names) != 3 || len(a.files) != 3 {
		t.Errorf("A has %v", a)
	}
	if g := got["G"]; len(g.names) != 1 || len(got) != 2 {
		t.Errorf("G has %v, of %d types", g, len(got))
	}
	way := longestWay(map[string][]string{"a": {"b", "d"}, "b": {"d"}, "d": {"e"}}, "a")
	if !slices.Equal(way, []string{"a", "b", "d", "e"}) {
		t.Errorf("the longest way is %v", way)
	}
}
