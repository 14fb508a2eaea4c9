//go:build slow && linux

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "swarm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/swarm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// person makes a user who may become root, with the program at home.
func (m *machine) person(name, bin string) {
	m.t.Helper()
	m.must("root", "", "useradd --create-home --shell /bin/bash "+name)
	m.must("root", name+" ALL=(ALL) NOPASSWD: ALL\n", "cat > /etc/sudoers.d/"+name)
	m.put(name, bin, "/home/"+name+"/swarm")
}

var ticketLine = regexp.MustCompile(`(?m)^swarm1-\S+$`)

// On a bare Debian a machine joins as a service in one command, is there after a reboot, and leaves
// nothing when it is uninstalled.
func TestJoinAsServiceRebootAndUninstall(t *testing.T) {
	bin := build(t)
	m := newMachine(t)
	m.person("alice", bin)
	m.person("bob", bin)
	m.must("bob", "", "./swarm init --fleet home")
	before := m.traces()
	m.must("bob", "", "sudo ./swarm service install controller")
	ticket := ticketLine.FindString(m.must("bob", "", "swarm invite rig-01"))

	// Declined, nothing is left.
	half := m.traces()
	if out, err := m.run("alice", ticket+"\nno\n", "sudo ./swarm join - --service --enable deploy"); err == nil {
		t.Errorf("declined: %s", out)
	}
	if got := m.traces(); got != half {
		t.Errorf("declined, and left: %s", differing(half, got))
	}
	m.must("alice", ticket+"\ny\n", "sudo ./swarm join - --service --enable deploy,workload")
	m.must("bob", "", "swarm controller exec get_stats rig-01")
	m.answersWhoeverAsks()
	m.keepsWorkloads()

	m.reboot()
	m.until("the machine answers after the reboot", func() bool {
		_, err := m.run("bob", "", "swarm controller exec get_stats rig-01")
		return err == nil
	})
	m.until("the workload runs after the reboot", func() bool {
		_, err := m.run("root", "", "pgrep -x sleep")
		return err == nil
	})
	m.must("alice", "y\n", "sudo swarm service uninstall worker")
	if out, err := m.run("root", "", "pgrep -x sleep"); err == nil {
		m.t.Errorf("uninstalled, and the workload runs: %s", out)
	}
	m.must("bob", "y\n", "sudo swarm service uninstall controller")
	if got := m.traces(); got != before {
		t.Errorf("uninstalled, and left: %s", differing(before, got))
	}
}

// keepsWorkloads wants a workload to be the same process after each end of the worker, and none after one
// that takes it along. It leaves one running.
func (m *machine) keepsWorkloads() {
	m.t.Helper()
	m.must("bob", "", "swarm controller exec start_workload rig-01 --name sleeper -- sleep 100000")
	pid := func() string { return strings.TrimSpace(m.must("root", "", "pgrep -x sleep")) }
	first := pid()
	for _, end := range []string{"restart", "kill --kill-who=main --signal=SIGKILL", "stop"} {
		m.must("root", "", "systemctl "+end+" swarm-worker")
		if now := pid(); now != first {
			m.t.Errorf("after systemctl %s it is process %s, and was %s", end, now, first)
		}
		if strings.HasPrefix(end, "kill") {
			m.until("the worker is another one", func() bool {
				state, err := m.run("root", "", "systemctl is-active swarm-worker")
				return err == nil && strings.TrimSpace(state) == "active"
			})
		}
	}
	m.must("root", "", "systemctl start swarm-worker")
	m.until("the worker goes on with it", func() bool {
		out, err := m.run("bob", "", "swarm controller exec list_workloads rig-01 --json")
		return err == nil && strings.Contains(out, `"pid":`+first)
	})
}

// answersWhoeverAsks wants the worker of the machine shown to root, and the line that shows it to
// those who may not look. Nobody gets an identity by asking.
func (m *machine) answersWhoeverAsks() {
	m.t.Helper()
	for _, command := range []string{"status", "doctor", "audit", "members", "logs --agent"} {
		m.must("root", "", "swarm "+command)
		out, err := m.run("alice", "", "swarm "+command)
		want := "the worker of this machine belongs to the user swarm: sudo swarm " + command
		if err == nil || !strings.Contains(out, want) {
			m.t.Errorf("%s: got %v, %s, want %q", command, err, out, want)
		}
	}
	if out := m.must("root", "", "swarm status"); !strings.Contains(out, "rig-01, worker") || strings.Contains(out, "controller") {
		m.t.Errorf("status of root:\n%s", out)
	}
	if out, err := m.run("root", "", "test ! -e /var/lib/swarm/controller && test ! -e ~alice/.local/state/swarm"); err != nil {
		m.t.Errorf("an identity was made: %s", out)
	}
	if out, err := m.run("alice", "", "swarm leave --yes"); err == nil || !strings.Contains(out, "sudo swarm leave --yes") {
		m.t.Errorf("leave: %v, %s", err, out)
	}
	if out, err := m.run("root", "", "sudo -u swarm swarm worker --state /var/lib/swarm/worker"); err == nil || !strings.Contains(out, "a worker runs here already (pid ") {
		m.t.Errorf("a second worker: %v, %s", err, out)
	}
}

// differing are the lines that one has and the other has not.
func differing(before, after string) string {
	var out strings.Builder
	old := "\n" + before
	for line := range strings.Lines(after) {
		if !strings.Contains(old, "\n"+line) {
			out.WriteString("+ " + line)
		}
	}
	for line := range strings.Lines(before) {
		if !strings.Contains("\n"+after, "\n"+line) {
			out.WriteString("- " + line)
		}
	}
	return out.String()
}

var command = regexp.MustCompile(`(?m)^    (rig-01|vps|laptop)\$ (.*)$`)

// Each command of docs/install.md works, in the order of the document, and at its end nothing is left.
func TestInstallDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := command.FindAllStringSubmatch(string(text), -1)
	if len(commands) < 20 {
		t.Fatalf("found %d commands: the pattern has lost them", len(commands))
	}
	bin := build(t)
	m := newMachine(t)
	m.person("alice", bin) // at rig-01 and vps
	m.person("bob", bin)   // at the laptop
	before := m.traces()
	ticket := ""
	for _, c := range commands {
		user, stdin := "alice", "y\n"
		if c[1] == "laptop" {
			user = "bob"
		}
		if strings.Contains(c[2], "join -") {
			stdin = ticket + "\ny\n"
		}
		out := m.must(user, stdin, c[2])
		t.Logf("%s$ %s\n%s", c[1], c[2], out)
		if found := ticketLine.FindString(out); found != "" {
			ticket = found
		}
	}
	if got := m.traces(); got != before {
		t.Errorf("left: %s", differing(before, got))
	}
}

// A machine that a person has run by hand is given to a service with all that it is; one at another site
// joins as a service when it is called; and a service that has left its fleet stays stopped.
func TestServiceOfANodeThatIsThere(t *testing.T) {
	bin := build(t)
	m := newMachine(t)
	for _, name := range []string{"alice", "bob"} {
		m.person(name, bin)
	}
	fleet := fleetLine.FindStringSubmatch(m.must("bob", "", "./swarm init --fleet home"))
	if fleet == nil {
		t.Fatal("init did not print the fleet")
	}
	m.must("bob", "", "sudo ./swarm service install controller")

	// By hand first, then as a service: the same identity, and nothing of it at home.
	ticket := ticketLine.FindString(m.must("bob", "", "swarm invite rig-01"))
	m.must("alice", ticket+"\ny\n", "./swarm join - --enable deploy")
	id := strings.TrimSpace(m.must("alice", "", "./swarm id --state ~/.local/state/swarm/worker"))
	if out, err := m.run("alice", "", "sudo ./swarm service install"); err == nil || !strings.Contains(out, "--from DIR") {
		t.Errorf("a node is there already: %v, %s", err, out)
	}
	m.must("alice", "y\n", "sudo ./swarm service install --from ~/.local/state/swarm/worker")
	m.must("bob", "", "swarm stats rig-01")
	if out := m.must("root", "", "swarm status"); !strings.Contains(out, id) {
		t.Errorf("the service is not %s:\n%s", id, out)
	}
	if out, err := m.run("alice", "", "test ! -e ~/.local/state/swarm/worker/identity.pem"); err != nil {
		t.Errorf("the identity is in two places: %s", out)
	}

	// What the worker says, and what it reads again.
	m.must("bob", "", "swarm logs rig-01 --agent --lines 5")
	m.must("root", "", "swarm logs --agent")
	m.must("root", "enable: [miner=refpow]\nstats-every: 9s\nrelay: true\n", "mkdir -p /etc/swarm && cat > /etc/swarm/config.yaml && systemctl reload swarm-worker")
	m.until("the settings are read again", func() bool {
		out, _ := m.run("root", "", "journalctl --no-pager --unit swarm-worker")
		return strings.Contains(out, "the settings were read again") && strings.Contains(out, "need a restart")
	})

	// Left, it stays stopped, also after a reboot.
	m.must("root", "", "rm /etc/swarm/config.yaml && swarm leave --yes")
	stopped := func() bool {
		out, _ := m.run("root", "", "systemctl is-active swarm-worker")
		return strings.TrimSpace(out) == "inactive"
	}
	m.until("the service stops", stopped)
	m.reboot()
	m.until("the service stays stopped", stopped)
	m.must("alice", "y\n", "sudo swarm service uninstall worker")

	// One that is called: the address is printed, and the ticket is brought there.
	ended := make(chan error, 1)
	go func() {
		_, err := m.run("root", "", "~alice/swarm join --wait --service --yes --fleet "+fleet[1]+" --enable deploy > /tmp/wait.log 2>&1")
		ended <- err
	}()
	addr := ""
	m.until("it waits", func() bool {
		out, _ := m.run("root", "", "cat /tmp/wait.log")
		addr = waitsAt.FindString(out)
		return addr != ""
	})
	m.must("bob", "y\n", "swarm invite rig-02 --to "+addr)
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, m.must("root", "", "cat /tmp/wait.log"))
	}
	m.until("it answers as a service", func() bool {
		_, err := m.run("bob", "", "swarm stats rig-02")
		return err == nil
	})
}

var (
	fleetLine = regexp.MustCompile(`(?m)^ *fleet +([a-z2-7]{52})$`)
	waitsAt   = regexp.MustCompile(`/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+`)
)
