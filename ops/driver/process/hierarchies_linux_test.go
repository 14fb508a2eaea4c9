package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

func TestOwnGroupsOf(t *testing.T) {
	const (
		v2     = "25 20 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
			"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		inContainer = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	)
	for _, tt := range []struct {
		name, cgroups, mounts string
		want                  ownGroups
	}{
		{"version 2", "0::/system.slice/swarm.service\n", v2, ownGroups{unified: "/sys/fs/cgroup/system.slice/swarm.service"}},
		{"version 2, agent below", "0::/system.slice/swarm.service/swarm-agent\n", v2, ownGroups{unified: "/sys/fs/cgroup/system.slice/swarm.service"}},
		{"both", "4:memory:/a\n1:cpu,cpuacct:/b\n0::/c\n", hybrid, ownGroups{
			"/sys/fs/cgroup/unified/c", map[string]string{"memory": "/sys/fs/cgroup/memory/a", "cpu": "/sys/fs/cgroup/cpu,cpuacct/b"},
		}},
		{"in a container", "4:memory:/docker/abc/d\n", inContainer, ownGroups{old: map[string]string{"memory": "/sys/fs/cgroup/memory/d"}}},
		{"beside what is seen", "4:memory:/docker/other\n", inContainer, ownGroups{}},
		{"none", "", "", ownGroups{}},
		{"damaged", "::\n4\n4:memory\n", "- \n - cgroup2\n1 2 3 4 5 - cgroup x\n", ownGroups{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want.old == nil {
				tt.want.old = make(map[string]string)
			}
			if got := ownGroupsOf(tt.cgroups, tt.mounts); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A limit counts as set only when the kernel says so.
func TestLimitsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"memory.max": "", "cpu.max": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := driver.Limits{MemoryBytes: 64<<20 + 5, CPU: 0.5, Processes: 7}
	for _, k := range append(knobs("memory", l, true), knobs("cpu", l, true)...) {
		if err := k.turn(dir); err != nil { // a plain file keeps what is written; there is no swap here
			t.Errorf("%+v: %v", k, err)
		}
	}
	if got := kernelSays(filepath.Join(dir, "cpu.max")); got != "50000 100000" {
		t.Errorf("cpu.max is %q", got)
	}
	if err := knobs("pids", l, true)[0].turn(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pids: %v", err)
	}
	if err := os.Symlink(os.DevNull, filepath.Join(dir, "pids.max")); err != nil { // takes all, and keeps nothing
		t.Fatal(err)
	}
	if err := knobs("pids", l, true)[0].turn(dir); err == nil || !strings.Contains(err.Error(), "pids.max") {
		t.Errorf("a limit that was not kept: %v", err)
	}
}

// A cgroup of version 2 with processes is to enforce something for those below it: they make room.
func TestEnable(t *testing.T) {
	own := hierarchies().unified
	base := filepath.Join(own, groupName(t.TempDir()))
	if own == "" || os.Mkdir(base, 0o755) != nil {
		t.Skip("NOT TESTED: this system lets no cgroup of version 2 be made")
	}
	t.Cleanup(func() { _ = errors.Join(unix.Rmdir(filepath.Join(base, agentGroup)), unix.Rmdir(base)) })
	there := strings.Fields(kernelSays(filepath.Join(base, "cgroup.controllers")))
	if len(there) == 0 {
		t.Skip("NOT TESTED: version 2 has no controllers for cgroups below the own one")
	}
	cmd := exec.Command("/bin/sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
	if err := put(filepath.Join(base, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := enable(base, there[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got := kernelSays(filepath.Join(base, agentGroup, "cgroup.procs")); got != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("the agent's cgroup has %q", got)
	}
	if err := enable(base, "nonesuch"); err == nil {
		t.Error("enabled a controller that is not there")
	}
}
