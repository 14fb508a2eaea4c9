package rules_test

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// TestNoPackageState refuses init functions and package variables that change:
// what a type needs is passed to it, so that two nodes can live in one process.
func TestNoPackageState(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		files := p.sources(t, fset)
		for _, f := range files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: an init function: put things together in a constructor", fset.Position(fn.Pos()))
				}
			}
		}
		for _, use := range changes(fset, files) {
			t.Errorf("%s: the package variable %s changes: keep it in a type", fset.Position(use.Pos()), use.Name)
		}
		for _, v := range guarded(files) {
			t.Errorf("%s: the package variable %s is made to change: keep it in a type", fset.Position(v.Pos()), v.Name)
		}
	}
}

// noImports lets the type checker do what it can without other packages: it is
// needed here only to tell a package's variables from local ones.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

// changes returns the places where a package variable, or a part of one, is
// assigned to.
func changes(fset *token.FileSet, files []*ast.File) (found []*ast.Ident) {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	cfg := types.Config{Importer: noImports{}, Error: func(error) {}}
	p, _ := cfg.Check("p", fset, files, info) // its errors are those of the missing imports
	report := func(e ast.Expr) {
		id := base(e)
		if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == p.Scope() {
			found = append(found, id)
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					report(e)
				}
			case *ast.IncDecStmt:
				report(n.X)
			case *ast.CallExpr:
				if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") {
					report(n.Args[0])
				}
			}
			return true
		})
	}
	return found
}

// base is the variable at the root of x, x.f, x[i], *x and (x); nil if there is none.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// guarded returns the package variables whose very type says that they change:
// locks, atomics, and what sync makes. Pools of buffers hold nothing between
// two uses and are fine.
func guarded(files []*ast.File) (found []*ast.Ident) {
	for _, f := range files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				v := s.(*ast.ValueSpec)
				if text := types.ExprString(orEmpty(v.Type)); strings.HasPrefix(text, "atomic.") ||
					strings.HasPrefix(text, "sync.") && text != "sync.Pool" {
					found = append(found, v.Names...)
				}
			}
		}
	}
	return found
}

func orEmpty(e ast.Expr) ast.Expr {
	if e == nil {
		return &ast.Ident{}
	}
	return e
}

// TestOneGuard keeps stream handlers where the guard is: a handler set past it
// would have no limits, no rights and no deadlines.
func TestOneGuard(t *testing.T) {
	for _, p := range packages(t) {
		if name := p.name(); name == "streams" || name == "host/limits" {
			continue
		}
		fset := token.NewFileSet()
		for _, f := range p.sources(t, fset) {
			method := "" // whose body it is
			ast.Inspect(f, func(n ast.Node) bool {
				if f, ok := n.(*ast.FuncDecl); ok {
					method = ""
					if f.Recv != nil {
						method = f.Name.Name
					}
				}
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || !strings.HasPrefix(sel.Sel.Name, "SetStreamHandler") {
					return true
				}
				if sel.Sel.Name != method || !strings.HasSuffix(types.ExprString(sel.X), ".Host") { // else a host around another
					t.Errorf("%s: %s: register a message family on a streams.Mux instead", fset.Position(sel.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
}
