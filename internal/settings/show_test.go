package settings

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	t.Setenv("SWARM_BEACON_PORT", "1111")
	t.Setenv("SWARM_LOG_LEVEL", "debug")
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("# mine\nname: 007\nlisten: [a, b]\nwait: null\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	if err := fill(t, p.ping, "mdns: true\n"); err != nil { // as for the command that shows
		t.Fatal(err)
	}
	all, err := Show(p.worker, path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range all {
		got[s.Name] = strings.Join(s.Values, " ") + " from " + s.From
	}
	for name, want := range map[string]string{
		"name": "007 from " + path + ":2", "listen": "a b from " + path + ":3", "wait": "1s from default", "mdns": "true from default",
		"beacon-port": "1111 from environment SWARM_BEACON_PORT", "log-level": "debug from environment SWARM_LOG_LEVEL",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	if _, there := got["config"]; there {
		t.Error("the file itself is shown as a setting")
	}
}

// What the template sets when each # is taken off is the default.
func TestTemplate(t *testing.T) {
	p := newProgram(t)
	p.worker.Flags().Lookup("listen").Usage = "`MADDR` to listen on; " + strings.Repeat("long words ", 30)
	text := Template(p.worker, p.ping)
	for line := range strings.Lines(text) {
		if len(line) > 101 || !strings.HasPrefix(line, "#") && line != "\n" {
			t.Errorf("line %q", line)
		}
	}
	taken := regexp.MustCompile(`(?m)^#([a-z-]+:)`).ReplaceAllString(text, "$1")
	if n := strings.Count(taken, "\n") - strings.Count(text, "\n"); n != 0 || taken == text {
		t.Errorf("nothing can be set in:\n%s", text)
	}
	if err := fill(t, p.worker, taken); err != nil || p.level != "info" || p.port != 4748 || !p.mdns || len(p.listen) != 0 {
		t.Errorf("%v, %+v of:\n%s", err, p, taken)
	}
	if n := len(slices.Collect(strings.Lines(text))); n < 12 {
		t.Errorf("%d lines", n)
	}
}
