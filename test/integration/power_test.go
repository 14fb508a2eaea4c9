//go:build unix

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSystem puts programs into a directory that take the place of those that end a machine, and returns
// the file in which they note what they were asked.
func fakeSystem(t *testing.T, exit int) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "asked")
	for _, name := range []string{"systemctl", "shutdown", "reboot", "poweroff"} {
		script := fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >> %s\necho no, not now >&2\nexit %d\n", name, file, exit)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}
	return dir, file
}

// A machine is asked to reboot once. Where its system does not do it, that is told; nothing is asked of a
// machine whose owner does not allow it.
func TestPower(t *testing.T) {
	for _, tt := range []struct {
		name   string
		exit   int
		enable string
		code   int
		want   string // in what is printed
		asked  int
	}{
		{"refused by the system", 1, "power", 2, "it did not reboot: ", 1},
		{"not enabled", 0, "run", 2, "--enable power", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, file := fakeSystem(t, tt.exit)
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			c := newController(t)
			w := startWorker(t, t.TempDir(), "--name", "rig", "--allow", c.id, "--enable", tt.enable)
			r := swarm(t, "power", w.addr, "reboot", "--yes", "--timeout", "1m", "--mdns=false", "--state", c.state)
			if strings.Contains(r.stderr, "may not end this machine") {
				t.Skip("SKIPPED: only root may end this machine")
			}
			if r.code != tt.code || !strings.Contains(r.stdout+r.stderr, tt.want) {
				t.Errorf("exit code %d: %s%s, want %d, %q", r.code, r.stdout, r.stderr, tt.code, tt.want)
			}
			text, _ := os.ReadFile(file) // none where nothing was asked
			if n := strings.Count(string(text), "\n"); n != tt.asked {
				t.Errorf("the system was asked %d times: %s", n, text)
			}
		})
	}
}

// The command sees the machine go.
func TestPowerLooks(t *testing.T) {
	dir, file := fakeSystem(t, 0)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := newController(t)
	state := t.TempDir()
	w := startWorker(t, state, "--name", "rig", "--allow", c.id, "--enable", "power")
	out := new(buffer)
	cmd := exec.Command(program, "power", w.addr, "shutdown", "--yes", "--json", "--mdns=false", "--state", c.state)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(t), out, out
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	waitFor(t, "the system is asked", func() bool {
		text, _ := os.ReadFile(file)
		return len(text) > 0 || strings.Contains(out.String(), "may not end this machine")
	})
	if strings.Contains(out.String(), "may not end this machine") {
		t.Skip("SKIPPED: only root may end this machine")
	}
	w.stop()
	err := cmd.Wait()
	if err != nil || !strings.Contains(out.String(), `"event":"asked"`) || !strings.Contains(out.String(), `"event":"gone"`) {
		t.Errorf("%v: %s", err, out)
	}
}
