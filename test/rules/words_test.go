package rules_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPackagesSayWhatTheyAre wants a comment on each package, of more than its name.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && len(strings.Fields(p.Doc)) < 5 {
			t.Errorf("package %s has no comment that says what it is for", p.name())
		}
	}
}

// TestExportedNamesAreDocumented wants a comment on each exported function, method and type.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, f := range p.sources(t, fset) {
			for _, d := range f.Decls {
				for _, id := range undocumented(d) {
					t.Errorf("%s: %s has no comment", fset.Position(id.Pos()), id.Name)
				}
			}
		}
	}
}

func undocumented(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		said := d.Name.Name == "Error" || d.Name.Name == "Unwrap" // what they do is known
		if d.Doc == nil && !said && d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

func exportedReceiver(recv *ast.FieldList) bool {
	e := recv.List[0].Type
	if ix, ok := e.(*ast.IndexExpr); ok {
		e = ix.X
	}
	id := base(e)
	return id != nil && id.IsExported()
}

// unwanted are things that tell of one machine, or of work that is not done.
// The patterns are written so that this file does not match itself.
var unwanted = map[string]*regexp.Regexp{
	"a path of one machine":  regexp.MustCompile(`(?:^|[\s"'` + "`" + `=(:])/(?:work|home|root|Users)/[\w.-]+`),
	"the host of a registry": regexp.MustCompile(`(?i)\b(?:registry|goproxy|artifactory|npm|pypi|proxy)\.[a-z0-9-]+\.(?:org|com|io|net|dev|internal|local)\b`),
	"work left open":         regexp.MustCompile(`\b(?:TODO|FIXME|XXX)\b|not[ ]implemented\b`),
}

// notOurs are files that a program writes, or folders that are not in the repository.
var notOurs = []string{".git", "bin", "dist", "node_modules", "go.sum", "package-lock.json", "__pycache__"}

func TestUnwantedWords(t *testing.T) {
	const self = "test/rules/words_test.go"
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(notOurs, d.Name()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil || filepath.ToSlash(name) == self {
			return err
		}
		checkWords(t, path, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkWords(t *testing.T, path, name string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	if !utf8.Valid(b) {
		return // a binary file
	}
	for i, line := range strings.Split(string(b), "\n") {
		for what, rx := range unwanted {
			if m := rx.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: %q", name, i+1, what, strings.TrimSpace(m))
			}
		}
	}
}

// TestNoSleepInTests: a test that sleeps for what should have happened by then
// is slow, and fails on a busy machine. A sleep in a loop that asks again and
// again is fine, and one in a testing/synctest bubble takes no time.
func TestNoSleepInTests(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, f := range p.tests(t, fset) {
			bubble := slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
			for _, pos := range sleeps(f) {
				if !bubble {
					t.Errorf("%s: time.Sleep: wait for a condition instead", fset.Position(pos))
				}
			}
		}
	}
}

// sleeps returns where the functions of f that take a *testing.T, B or F sleep
// outside of a for loop. Other functions may play a program that takes its time.
func sleeps(f *ast.File) (found []token.Pos) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt:
			return false
		case *ast.FuncDecl:
			return slices.ContainsFunc(n.Type.Params.List, func(p *ast.Field) bool { return strings.HasPrefix(types.ExprString(p.Type), "*testing.") })
		case *ast.SelectorExpr:
			if id := base(n.X); id != nil && id.Name == "time" && n.Sel.Name == "Sleep" {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}
