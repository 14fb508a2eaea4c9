// Package rules_test keeps the rules of this tree that no compiler knows: which
// package may know which, no hidden state, words for everything that is
// exported, help for every command, and tests that do not wait by the clock.
// docs/architecture.md and CONTRIBUTING.md give the reasons.
package rules_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/seed-b490fa12/swarm"
	root   = "../.."
)

// pkg is what go list says of a package, as far as it is needed here.
type pkg struct {
	ImportPath, Dir, Doc               string
	Imports, Deps                      []string
	GoFiles, TestGoFiles, XTestGoFiles []string
	IgnoredGoFiles                     []string // of other systems, or the slow set
}

// name is the package's folder in this tree.
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// sources parses the files of the package that its tests do not add, and those
// of other systems.
func (p pkg) sources(t *testing.T, fset *token.FileSet) (files []*ast.File) {
	t.Helper()
	for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, parse(t, fset, filepath.Join(p.Dir, name)))
		}
	}
	return files
}

// tests parses the package's test files, the slow ones included.
func (p pkg) tests(t *testing.T, fset *token.FileSet) (files []*ast.File) {
	t.Helper()
	for _, list := range [][]string{p.TestGoFiles, p.XTestGoFiles, p.IgnoredGoFiles} {
		for _, name := range list {
			if strings.HasSuffix(name, "_test.go") {
				files = append(files, parse(t, fset, filepath.Join(p.Dir, name)))
			}
		}
	}
	return files
}

func parse(t *testing.T, fset *token.FileSet, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// list runs go list once for all tests.
var list = sync.OnceValues(func() (all []pkg, err error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,Deps,GoFiles,TestGoFiles,XTestGoFiles,IgnoredGoFiles", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + err.Error() + ": " + stderr.String())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("go list found no packages")
	}
	return all
}
