//go:build linux

// Package netlab_test runs the real program in networks made of namespaces:
// LANs, NATs, partitions and dead machines. See README.md for the rig.
//
//	go test ./test/netlab               # the smoke scenario
//	go test -tags slow ./test/netlab    # all of them, and the rig's test of itself
package netlab_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// probe makes once what a lab is made of; where it fails, no lab can be built.
const probe = `mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add a && ip link add br0 type bridge &&
ip link add p0 type veth peer name eth0 netns a && nft add table ip lab`

// scenario runs one in a lab of its own and fails with what it printed.
func scenario(t *testing.T, name string, args ...string) {
	t.Helper()
	needLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "python3", append([]string{"netlab.py", "--out", dir, "scenarios/" + name + ".py"}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("scenario %s: %v", name, err)
		logLines(t, dir)
	}
}

// needLab skips the test where namespaces are not allowed or a program is missing.
func needLab(t *testing.T) {
	t.Helper()
	for _, program := range []string{"python3", "unshare", "nsenter", "ip", "ss", "nft", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NO NETWORK LAB ON THIS MACHINE: %v; see test/netlab/README.md for what to install", err)
		}
	}
	args := []string{"--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh", "-c", probe}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", args...).CombinedOutput(); err != nil {
		t.Skipf("NO NETWORK LAB ON THIS MACHINE: it refuses network namespaces: %v: %s", err, out)
	}
}

// buildSwarm returns the path of a fresh binary.
func buildSwarm(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "swarm")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/swarm").CombinedOutput()
	if err != nil {
		t.Fatalf("build swarm: %v\n%s", err, out)
	}
	return bin
}

// logLines shows the end of each program's log.
func logLines(t *testing.T, dir string) {
	t.Helper()
	const last = 20
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Log(err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		t.Logf("%s:\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-last):], "\n"))
	}
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	needLab(t)
	scenario(t, "smoke", buildSwarm(t))
}
