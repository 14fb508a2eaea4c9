//go:build slow && linux

package systemd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rootVariable names a directory with a bare Debian, such as debootstrap makes; without it one is
// made, which takes a minute and the network.
const rootVariable = "SWARM_TEST_DEBIAN"

const packages = "systemd,systemd-sysv,dbus,sudo"

// debian returns a root file system of Debian that nobody writes to.
func debian(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: namespaces with a systemd of their own need root")
	}
	if dir := os.Getenv(rootVariable); dir != "" {
		return dir
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		t.Skipf("SKIPPED: there is no debootstrap, and %s names no root file system of Debian", rootVariable)
	}
	dir := filepath.Join(t.TempDir(), "debian")
	out, err := exec.CommandContext(t.Context(), "debootstrap", "--variant=minbase", "--include="+packages, "stable", dir).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: debootstrap cannot make a Debian here: %v\n%s", err, lastLines(out))
	}
	return dir
}

func lastLines(out []byte) []byte { return out[max(0, len(out)-1000):] }

// machine is a Debian of its own; what is written there is in work.
type machine struct {
	t          *testing.T
	root, work string
	cgroup     string
	outer      *exec.Cmd
	pid        string // of its systemd, seen from here
	log        bytes.Buffer
}

// newMachine boots one. It is skipped where the kernel does not let us.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: debian(t), work: t.TempDir()}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if before, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup2 ") {
			m.cgroup = filepath.Join(strings.Fields(before)[4], "swarm-test-"+filepath.Base(filepath.Dir(m.work)))
		}
	}
	if m.cgroup == "" {
		t.Skip("SKIPPED: no cgroup2 is mounted, which a systemd needs")
	}
	if err := os.Mkdir(m.cgroup, 0o755); err != nil {
		t.Skipf("SKIPPED: no group of processes can be made for a systemd: %v", err)
	}
	t.Cleanup(func() {
		m.off()
		m.until("the group of processes is empty", func() bool { return removeGroups(m.cgroup) == nil })
	})
	m.boot()
	return m
}

// removeGroups removes a group with those below it.
func removeGroups(dir string) error {
	below, _ := filepath.Glob(dir + "/*/cgroup.procs")
	for _, b := range below {
		removeGroups(filepath.Dir(b))
	}
	return os.Remove(dir)
}

const enter = `echo $$ > "$1/cgroup.procs" && shift && exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child "$@"`

func (m *machine) boot() {
	m.t.Helper()
	script, err := filepath.Abs("testdata/boot.sh")
	if err != nil {
		m.t.Fatal(err)
	}
	m.outer = exec.Command("sh", "-c", enter, "sh", m.cgroup, "sh", script, m.root, m.work)
	m.outer.Stdout, m.outer.Stderr = &m.log, &m.log
	if err := m.outer.Start(); err != nil {
		m.t.Fatal(err)
	}
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", m.outer.Process.Pid)
	m.until("its systemd runs", func() bool {
		pid, err := os.ReadFile(children)
		m.pid = strings.TrimSpace(string(pid))
		name, _ := os.ReadFile("/proc/" + m.pid + "/comm")
		return err == nil && strings.TrimSpace(string(name)) == "systemd"
	})
	var state string
	m.until("it has booted", func() bool {
		state, _ = m.run("root", "", "systemctl is-system-running --wait")
		return strings.Contains(state, "running") || strings.Contains(state, "degraded")
	})
}

// off ends the machine as its power button does.
func (m *machine) off() {
	if m.outer == nil {
		return
	}
	m.run("root", "", "systemctl poweroff --force")
	m.ended()
}

// ended waits for the end of the machine, and ends it by force at last.
func (m *machine) ended() {
	force := time.AfterFunc(time.Minute, func() { m.outer.Process.Kill() })
	defer force.Stop()
	m.outer.Wait() // its error is the signal by which the kernel tells of a reboot
	m.outer = nil
}

func (m *machine) reboot() {
	m.t.Helper()
	m.run("root", "", "systemctl reboot")
	m.ended()
	m.boot()
}

// run runs a line of the shell as a user.
func (m *machine) run(user, stdin, line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", m.pid, "--all", "env", "-i", "TERM=dumb",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"SWARM_PASSPHRASE=correct horse", "su", "--whitelist-environment=SWARM_PASSPHRASE", "--login", user, "--command", line)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a line that has to succeed.
func (m *machine) must(user, stdin, line string) string {
	m.t.Helper()
	out, err := m.run(user, stdin, line)
	if err != nil {
		log, _ := m.run("root", "", "journalctl --no-pager --lines 30")
		m.t.Fatalf("%s$ %s: %v\n%s\n%s", user, line, err, out, log)
	}
	return out
}

// put places a file.
func (m *machine) put(user, from, to string) {
	m.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatal(err)
	}
	m.must(user, string(text), "cat > "+to+" && chmod 755 "+to)
}

// until waits for a condition.
func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			m.t.Fatalf("not within a minute: %s\n%s", what, lastLines(m.log.Bytes()))
		}
	}
}

// traces are all files of the machine that an installation could leave, and its accounts.
func (m *machine) traces() string {
	m.t.Helper()
	return m.must("root", "", `find / -xdev -not -path '/home/*' -not -path '/root/*' -not -path '/var/log/journal/*' \
		-not -path '/var/tmp/*' -not -name '*-' -not -path '/var/lib/sudo/*' -not -path '/var/lib/systemd/*' | sort
		cat /etc/passwd /etc/group /etc/shadow /etc/gshadow`)
}
