package rules_test

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"testing"
)

// mayOpen says which functions open files by package os, and why. All others go
// through internal/durable: a workload can put a pipe in place of a file below the
// state directory, whose reader waits for ever, or a link.
var mayOpen = map[string]string{
	"ops/driver/process/tree_linux.go isMarked":     "what /proc holds is the kernel's",
	"ops/driver/process/tree_linux.go statOf":       "what /proc holds is the kernel's",
	"ops/driver/process/cgroup_linux.go kernelSays": "what cgroups hold is the kernel's",
	"ops/boot/boot_linux.go ID":                     "what /proc holds is the kernel's",
	"ops/driver/shim/main_linux.go startSelf":       "the null device",
	"internal/refpow/status.go writeStatus":         "the workload itself writes it, and not to last",
	"internal/settings/value.go Argument":           "a person names the file on the command line: it may be a pipe",
	"cmd/swarm/keyrestore.go newKeyRestoreCommand":  "a person names the file on the command line: it may be a pipe",
	"test/skewed/skewed.go Build":                   "a test builds a program in its own directory",
}

// openers are the functions of package os that wait for a pipe, and follow a link.
var openers = map[string]bool{
	"Open": true, "OpenFile": true, "OpenInRoot": true, "ReadFile": true,
	"Create": true, "WriteFile": true, "Truncate": true,
}

func TestFilesAreOpenedByDurable(t *testing.T) {
	used := make(map[string]bool)
	for _, p := range packages(t) {
		if p.name() == "internal/durable" {
			continue
		}
		fset := token.NewFileSet()
		for _, f := range p.sources(t, fset) {
			for _, id := range opens(f) {
				at := fset.Position(id.Pos())
				where := p.name() + "/" + filepath.Base(at.Filename) + " " + functionAt(f, id.Pos())
				used[where] = true
				if mayOpen[where] == "" {
					t.Errorf("%s: os.%s in %q: open it by internal/durable", at, id.Name, where)
				}
			}
		}
	}
	for where := range mayOpen {
		if !used[where] {
			t.Errorf("mayOpen has a line for %q, which opens nothing", where)
		}
	}
}

// opens returns where a file uses one of the openers, as a call or as a value, and
// where it opens a file below a root by its methods.
func opens(f *ast.File) (found []*ast.Ident) {
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "os" || x.Name == "root") && openers[sel.Sel.Name] {
			found = append(found, sel.Sel)
		}
		return true
	})
	return found
}

func functionAt(f *ast.File, pos token.Pos) string {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Pos() <= pos && pos < fn.End() {
			return fn.Name.Name
		}
	}
	return ""
}
