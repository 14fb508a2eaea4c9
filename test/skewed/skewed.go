// Package skewed builds the program with a clock that is wrong, for tests.
package skewed

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

//go:embed skew_linux.go.txt
var skew []byte

// Build returns the path of a program whose clock is CLOCK_SKEW seconds ahead, and after CLOCK_AFTER
// seconds, if that is set, CLOCK_THEN.
func Build(t *testing.T) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	must(err)
	std := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	must(err)
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := bytes.Replace(source, []byte(reads), []byte(reads+"\tsec += skewNow(mono)\n"), 1)
	if bytes.Equal(changed, source) {
		t.Fatal("time.Now of this Go reads the clock in another way: adapt this test")
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range map[string][]byte{"time.go": changed, "skew_linux.go": skew} {
		overlay.Replace[filepath.Join(std, name)] = filepath.Join(dir, name)
		must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	data, err := json.Marshal(overlay)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "overlay.json"), data, 0o600))
	bin := filepath.Join(dir, "swarm")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin,
		"github.com/seed-b490fa12/swarm/cmd/swarm").CombinedOutput()
	if err != nil {
		t.Fatalf("build the program with a clock of its own: %v\n%s", err, out)
	}
	return bin
}
