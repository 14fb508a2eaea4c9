package rules_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// documents returns the Markdown files of the tree, from its root.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "deployments/*/*.md", "test/*/*.md", "*/DESIGN.md", "*/*/DESIGN.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) < 5 {
		t.Fatalf("found only %v", paths)
	}
	return paths
}

var (
	goBlock  = regexp.MustCompile("(?s)\n```go\n((?://[^\n]*\n)*package .*?)\n```\n")
	goInList = regexp.MustCompile(`\n       package (ops|main)\n(?:       .*\n|\n)+`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence    = regexp.MustCompile("(?s)\n```.*?\n```\n")
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unslug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	external = regexp.MustCompile(`^[a-z]+:`)
)

// TestProgramsInDocuments compiles the whole files of Go that documents show, and the program with
// the operation that CONTRIBUTING.md adds to it.
func TestProgramsInDocuments(t *testing.T) {
	t.Parallel()
	overlay := make(map[string]string)
	var dirs []string
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents(t) {
		for _, m := range goBlock.FindAllStringSubmatch(read(t, path), -1) {
			file := filepath.Join(t.TempDir(), "shown.go")
			if err := os.WriteFile(file, []byte(m[1]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := fmt.Sprintf("shown%d", len(dirs)) // exists in the overlay only
			overlay[filepath.Join(abs, dir, "shown.go")] = file
			dirs = append(dirs, "./"+dir)
		}
	}
	if len(dirs) < 2 {
		t.Fatalf("found %d programs in documents: the pattern has lost them", len(dirs))
	}
	for path, text := range addedOperation(t) {
		file := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(abs, filepath.FromSlash(path))] = file
	}
	dirs = append(dirs, "./cmd/swarm")
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", file}, dirs...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestExamplesInDocuments: a program of examples/ that a document shows is shown as it is tested there.
func TestExamplesInDocuments(t *testing.T) {
	shown := 0
	for _, path := range documents(t) {
		for _, m := range goBlock.FindAllStringSubmatch(read(t, path), -1) {
			name := exampleName.FindStringSubmatch(m[1])
			if name == nil {
				continue
			}
			shown++
			if read(t, filepath.Join(root, "examples", name[1], "main.go")) != m[1]+"\n" {
				t.Errorf("%s shows another program than examples/%s", path, name[1])
			}
		}
	}
	if shown < 2 {
		t.Errorf("%d examples are shown: the pattern has lost them", shown)
	}
}

// exampleName finds the name of a program of examples/ in its first line.
var exampleName = regexp.MustCompile(`^// Command ([a-z0-9]+) `)

// addedOperation returns the files that the steps of "Add an operation" in CONTRIBUTING.md give: two
// new ones, and two with a changed line.
func addedOperation(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, m := range goInList.FindAllStringSubmatch(read(t, filepath.Join(root, "CONTRIBUTING.md")), -1) {
		path := map[string]string{"ops": "ops/getuptime.go", "main": "cmd/swarm/op_get_uptime.go"}[m[1]]
		files[path] = strings.ReplaceAll(m[0], "\n       ", "\n")
	}
	if len(files) != 2 {
		t.Fatalf("found %d files in the steps, want 2", len(files))
	}
	for _, change := range []struct{ path, old, new string }{
		{"ops/ops.go", "return Operations{", "return Operations{getUptime(w), "},
		{"cmd/swarm/operation.go", "opPing(), ", "opPing(), opGetUptime(), "},
	} {
		text := read(t, filepath.Join(root, change.path))
		if strings.Count(text, change.old) != 1 {
			t.Fatalf("%s: want %q once", change.path, change.old)
		}
		files[change.path] = strings.Replace(text, change.old, change.new, 1)
	}
	return files
}

// TestLinksInDocuments follows the links between files, and to headings in them.
func TestLinksInDocuments(t *testing.T) {
	for _, path := range documents(t) {
		text := fence.ReplaceAllString(read(t, path), "\n")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if external.MatchString(m[1]) {
				continue
			}
			name, anchor, _ := strings.Cut(m[1], "#")
			target := path
			if name != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(name))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", path, m[1])
			} else if anchor != "" && !hasHeading(read(t, target), anchor) {
				t.Errorf("%s: %s has no such heading", path, m[1])
			}
		}
	}
}

// hasHeading tells whether a heading becomes anchor by GitHub's rule.
func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, "\n"), -1) {
		if strings.ReplaceAll(unslug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestYAML parses the files that other programs read.
func TestYAML(t *testing.T) {
	for _, name := range []string{"deployments/docker/compose.yaml", ".github/workflows/ci.yml"} {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, name))), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(v) < 3 {
			t.Errorf("%s: read as %v", name, v)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}
