package rules_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// namesProgram matches words that tell a person to run a command of this program, or to give it a flag.
var namesProgram = regexp.MustCompile(`\bswarm (?:audit|controller|demo|doctor|events|grant|id|info|init|invite|join|key|label|leave|` +
	`members|peers|ping|relay|rename|renew|revoke|service|status|version|worker|stats|logs|start|stop|deploy)\b|[\s(]--[a-z]`)

// TestHintsAreThePrograms keeps such words out of the packages that other programs import: their users do
// not have this one. The errors there say what is the case; internal/hints/hints.go says what to do.
func TestHintsAreThePrograms(t *testing.T) {
	for _, p := range packages(t) {
		name := p.name()
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "internal/") && name != "internal/durable" {
			continue
		}
		fset := token.NewFileSet()
		for _, f := range p.sources(t, fset) {
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && namesProgram.MatchString(lit.Value) {
					t.Errorf("%s: %s names a command or a flag: give the error a sentinel, and internal/hints/hints.go a row", fset.Position(lit.Pos()), lit.Value)
				}
				return true
			})
		}
	}
}
