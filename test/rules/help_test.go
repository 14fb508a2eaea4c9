package rules_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestHelp walks the commands of the built program as a person would, and wants
// for each a sentence, a usage line and an example that begins with the program.
func TestHelp(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "swarm")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/swarm")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if n := checkHelp(t, bin); n < 10 {
		t.Errorf("found %d commands: the walk has lost its way", n)
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z][\w-]*) {2,}\S`)
	flagLine    = regexp.MustCompile(`(?m)^ +(?:-\w, |    )--([\w-]+)(.*)$`)
)

// checkHelp checks one command and those below it; it returns how many there were.
func checkHelp(t *testing.T, bin string, path ...string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), bin, append(path, "--help")...).Output()
	name, help := "swarm "+strings.Join(path, " "), string(out)
	if err != nil {
		t.Errorf("%s --help: %v", name, err)
		return 0
	}
	words, rest, ok := strings.Cut(help, "Usage:\n")
	if !ok || len(strings.Fields(words)) < 4 {
		t.Errorf("%s: its help does not say what it does", name)
	}
	_, examples, ok := strings.Cut(rest, "Examples:\n")
	if !ok || !strings.HasPrefix(strings.TrimSpace(examples), "swarm ") {
		t.Errorf("%s: its help has no example", name)
	}
	_, flags, _ := strings.Cut(rest, "\nFlags:\n")
	for _, m := range flagLine.FindAllStringSubmatch(flags, -1) {
		if len(strings.Fields(m[2])) < 3 {
			t.Errorf("%s: --%s does not say what it does", name, m[1])
		}
	}
	n := 1
	sub, _, _ := strings.Cut(rest, "\nFlags:\n")
	for _, m := range commandLine.FindAllStringSubmatch(sub, -1) {
		if cmd := m[1]; cmd != "help" && cmd != "completion" { // cobra's own
			n += checkHelp(t, bin, append(path[:len(path):len(path)], cmd)...)
		}
	}
	return n
}
