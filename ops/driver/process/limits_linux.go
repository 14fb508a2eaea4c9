package process

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// controllers are those that enforce limits.
var controllers = []string{"memory", "cpu", "pids"}

const (
	// period is the time over which the kernel counts the processor time of a workload, in µs.
	period = 100_000
	// roundedOff is less than what the kernel may take off a limit of memory: a large page.
	roundedOff = 64 << 10
	// enableTries is how often a controller is enabled while processes move out of the way.
	enableTries = 20
)

// knob is a file of a cgroup by which a limit is set.
type knob struct {
	file, value string
	rounded     bool // the kernel may take a little off
	optional    bool // there need not be such a file
}

// knobs are those for the limit that a controller enforces; none where there is no limit.
func knobs(controller string, l driver.Limits, unified bool) []knob {
	memory, quota := strconv.FormatInt(l.MemoryBytes, 10), strconv.Itoa(int(math.Round(l.CPU*period)))
	switch {
	case controller == "memory" && l.MemoryBytes > 0 && unified:
		return []knob{{file: "memory.max", value: memory, rounded: true}, {file: "memory.swap.max", value: "0", optional: true}}
	case controller == "memory" && l.MemoryBytes > 0:
		return []knob{
			{file: "memory.limit_in_bytes", value: memory, rounded: true},
			{file: "memory.memsw.limit_in_bytes", value: memory, rounded: true, optional: true},
		}
	case controller == "cpu" && l.CPU > 0 && unified:
		return []knob{{file: "cpu.max", value: quota + " " + strconv.Itoa(period)}}
	case controller == "cpu" && l.CPU > 0:
		return []knob{{file: "cpu.cfs_period_us", value: strconv.Itoa(period)}, {file: "cpu.cfs_quota_us", value: quota}}
	case controller == "pids" && l.Processes > 0:
		return []knob{{file: "pids.max", value: strconv.Itoa(l.Processes)}}
	}
	return nil
}

// limit sets limits in the cgroup, which gets those of version 1 where version 2 does not have what they
// need. unified is why there is none of version 2, or nil. It needs mu.
func (g *cgroup) limit(own ownGroups, name string, l driver.Limits, unified error) error {
	for _, controller := range controllers {
		isUnified := hasController(own.unified, controller)
		set := knobs(controller, l, isUnified)
		if len(set) == 0 {
			continue
		}
		dir, err := filepath.Join(own.unified, name), unified
		switch {
		case !isUnified:
			dir, err = g.makeOld(own, controller, name)
		case err == nil:
			err = enable(own.unified, controller)
		}
		for _, k := range set {
			if err == nil {
				err = k.turn(dir)
			}
		}
		if err != nil {
			return fmt.Errorf("cgroup controller %s: %w: have the system delegate it to the agent", controller, err)
		}
		if controller == "pids" && !isUnified {
			g.pids = limitedCount{filepath.Join(dir, "pids.max"), l.Processes}
		}
	}
	return nil
}

// hasController reports whether a cgroup of version 2 could enforce something for those below it.
func hasController(dir, controller string) bool {
	return dir != "" && slices.Contains(strings.Fields(kernelSays(filepath.Join(dir, "cgroup.controllers"))), controller)
}

// makeOld makes the cgroup of version 1. It needs mu.
func (g *cgroup) makeOld(own ownGroups, controller, name string) (dir string, err error) {
	in := own.old[controller]
	if in == "" {
		return "", errors.New("it is not there")
	}
	dir = filepath.Join(in, name)
	if slices.Contains(g.dirs, dir) { // two controllers have one hierarchy
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return "", err
	}
	g.dirs, g.old = append(g.dirs, dir), append(g.old, oldGroup{dir, in})
	return dir, nil
}

// enable has a cgroup of version 2 enforce something for those below it. One that does so holds no
// processes itself, except for the root: they go into a cgroup for the agent.
func enable(dir, controller string) (err error) {
	control := filepath.Join(dir, "cgroup.subtree_control")
	for range enableTries {
		if slices.Contains(strings.Fields(kernelSays(control)), controller) {
			return nil
		}
		if err = put(control, "+"+controller); !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err := clearOut(dir); err != nil {
			return err
		}
		time.Sleep(sweepPause)
	}
	return cmp.Or(err, error(unix.EBUSY))
}

// clearOut moves the processes of a cgroup of version 2 into the agent's.
func clearOut(dir string) error {
	if filepath.Ext(dir) == ".service" {
		// Where limits are enforced it cannot start the next agent beside the workloads of this one.
		return errors.New("systemd has put the agent itself into the cgroup of its service: it takes DelegateSubgroup=" + agentGroup + " in the unit, which systemd knows since version 254")
	}
	below := filepath.Join(dir, agentGroup)
	if err := os.Mkdir(below, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	for pid := range strings.FieldsSeq(kernelSays(filepath.Join(dir, "cgroup.procs"))) {
		if err := put(filepath.Join(below, "cgroup.procs"), pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// turn sets a limit, and looks whether the kernel has taken it.
func (k knob) turn(dir string) error {
	path := filepath.Join(dir, k.file)
	if _, err := os.Lstat(path); k.optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := put(path, k.value); err != nil {
		return err
	}
	got := kernelSays(path)
	want, err1 := strconv.ParseInt(k.value, 10, 64)
	have, err2 := strconv.ParseInt(got, 10, 64)
	near := k.rounded && err1 == nil && err2 == nil && have <= want && want-have < roundedOff
	if got != k.value && !near {
		return fmt.Errorf("%s reads %q after %q was written", path, got, k.value)
	}
	return nil
}

// Probe tries each limit. See [driver.Prober].
func (d Driver) Probe() driver.Enforced {
	return driver.Enforced{
		Memory:    d.try(driver.Limits{MemoryBytes: 64 << 20}),
		CPU:       d.try(driver.Limits{CPU: 1}),
		Processes: d.try(driver.Limits{Processes: 64}),
	}
}

func (d Driver) try(l driver.Limits) driver.Means {
	if d.NoCgroup {
		return driver.Means{Why: "cgroups are switched off"}
	}
	var g cgroup
	defer g.remove()
	if err := g.makeFor("/probe/"+rand.Text(), l); err != nil {
		return driver.Means{Why: err.Error()}
	}
	if len(g.old) > 0 {
		return driver.Means{By: "cgroup v1"}
	}
	return driver.Means{By: "cgroup v2"}
}

var _ driver.Prober = Driver{}
