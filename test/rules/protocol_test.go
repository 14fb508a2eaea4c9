package rules_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	// ruleItem begins a numbered rule of the protocol: "- **E7.** An object MUST NOT …".
	ruleItem = regexp.MustCompile(`^ *- \*\*([A-Z]{1,2})([0-9]+)\.\*\* `)
	listItem = regexp.MustCompile(`^ *(-|[0-9]+\.) `)
	must     = regexp.MustCompile(`\bMUST\b`)
	// checks are what a rule names as its proof: a test, or a case of a file of vectors.
	checkTest   = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	checkVector = regexp.MustCompile("`([a-z]+\\.json)` \"([^\"]+)\"")
)

// protocolRule is one rule of docs/protocol.md.
type protocolRule struct {
	group  string
	number int
	text   string
}

// protocolRules splits the document into its rules and all else.
func protocolRules(doc string) (rules []protocolRule, rest string) {
	in := false
	for line := range strings.Lines(doc) {
		switch m := ruleItem.FindStringSubmatch(line); {
		case m != nil:
			n, _ := strconv.Atoi(m[2]) // digits by the pattern
			rules, in = append(rules, protocolRule{m[1], n, ""}), true
		case strings.TrimSpace(line) == "" || listItem.MatchString(line) || !strings.HasPrefix(line, " "):
			in = false
		}
		if in {
			rules[len(rules)-1].text += strings.TrimSpace(line) + " "
		} else {
			rest += line
		}
	}
	return rules, rest
}

// TestProtocolRules keeps the rules of the wire countable: each has a number of its own, one MUST,
// and checks that exist.
func TestProtocolRules(t *testing.T) {
	rules, rest := protocolRules(read(t, filepath.Join(root, "docs", "protocol.md")))
	if len(rules) < 200 {
		t.Fatalf("%d rules: the pattern has lost them", len(rules))
	}
	if n := len(must.FindAllString(strings.ReplaceAll(rest, `"MUST"`, ""), -1)); n > 0 {
		t.Errorf("%d times MUST outside of numbered rules", n)
	}
	tests, vectors := testNames(t), vectorNames(t)
	last := make(map[string]int)
	before := ""
	for _, r := range rules {
		name := fmt.Sprint(r.group, r.number)
		if r.number <= last[r.group] {
			t.Errorf("%s comes after %s%d", name, r.group, last[r.group])
		}
		if r.group != before && last[r.group] > 0 {
			t.Errorf("%s is apart from the other rules of its group", name)
		}
		last[r.group], before = r.number, r.group
		if n := len(must.FindAllString(r.text, -1)); n != 1 {
			t.Errorf("%s has MUST %d times, want once: %s", name, n, r.text)
		}
		for _, m := range checkTest.FindAllStringSubmatch(r.text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is no test", name, m[1])
			}
		}
		for _, m := range checkVector.FindAllStringSubmatch(r.text, -1) {
			if !vectors[m[1]+" "+m[2]] {
				t.Errorf("%s names the case %q of %s, which there is not", name, m[2], m[1])
			}
		}
	}
}

// TestProtocolIsLegible keeps the prose of the document, but for tables and bytes, at 100 columns.
func TestProtocolIsLegible(t *testing.T) {
	for i, line := range strings.Split(read(t, filepath.Join(root, "docs", "protocol.md")), "\n") {
		if strings.HasPrefix(line, "|") || strings.HasPrefix(line, "`{") {
			continue
		}
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("docs/protocol.md:%d: %d columns", i+1, n)
		}
	}
}

// testNames are the tests of this tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	for _, p := range packages(t) {
		for _, files := range [][]string{p.TestGoFiles, p.XTestGoFiles, p.IgnoredGoFiles} {
			for _, name := range files {
				if !strings.HasSuffix(name, "_test.go") {
					continue
				}
				for _, m := range declared.FindAllStringSubmatch(read(t, filepath.Join(p.Dir, name)), -1) {
					names[m[1]] = true
				}
			}
		}
	}
	return names
}

// vectorNames are the cases of the test vectors, behind the names of their files.
func vectorNames(t *testing.T) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "streams", "testdata", "vectors", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal(err, paths)
	}
	names := make(map[string]bool)
	for _, path := range paths {
		var file struct{ Cases []struct{ Name string } }
		if err := json.Unmarshal([]byte(read(t, path)), &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, c := range file.Cases {
			names[filepath.Base(path)+" "+c.Name] = true
		}
	}
	return names
}
