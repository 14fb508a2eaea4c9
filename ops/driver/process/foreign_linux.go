package process

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// Identity is a process that no other one can be taken for until the machine boots again.
type Identity struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // ticks since the boot
}

// Identify returns the identity of a living process; false where there is none with this number.
func Identify(pid int) (Identity, bool) {
	s, alive := statOf(pid)
	return Identity{PID: pid, Started: s.started}, alive && pid > 0
}

// Open returns a descriptor that stands for the process. It returns [unix.ESRCH] when the process is gone,
// also if another one has its number by now.
func (i Identity) Open() (pidfd int, err error) {
	if i.PID <= 1 { // no workload of anybody's is the first process
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(i.PID, 0)
	if err != nil {
		return -1, err
	}
	// The number was looked at after the descriptor had been opened: it cannot have changed hands in between.
	if now, alive := Identify(i.PID); !alive || now != i {
		_ = unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// Kill ends the process. One that is gone is no error.
func (i Identity) Kill() error {
	fd, err := i.Open()
	if err == nil {
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		_ = unix.Close(fd)
	}
	if err == unix.ESRCH {
		return nil
	}
	return err
}

// Groups are the cgroups of a workload that this driver started.
func Groups(w driver.Workload) []string {
	if w, ok := w.(*workload); ok {
		return w.tree.group.paths()
	}
	return nil
}

// Tree is what a process that did not start a workload knows its processes by.
type Tree struct {
	First  Identity // the first process
	Mark   string   // that of its [driver.Spec]
	Groups []string // its cgroups
	Above  int      // all that is below this process belongs to it; 0 for none
}

// GroupsOf returns the cgroups that a workload with this mark may have.
func GroupsOf(mark string) (dirs []string) {
	for _, own := range hierarchies().all() {
		dirs = append(dirs, filepath.Join(own, groupName(mark)))
	}
	return dirs
}

// group is the cgroup, as far as it can be the one of the workload.
func (t Tree) group() *cgroup {
	g := &cgroup{}
	for _, dir := range t.Groups {
		if t.Mark != "" && filepath.Base(dir) == groupName(t.Mark) {
			g.dirs = append(g.dirs, dir)
		}
	}
	return g
}

// find lists what lives of the workload. The number of its session is one only as long as its first
// process lives: later another session may have it.
func (t Tree) find() []int {
	s := signs{above: t.Above, mark: t.Mark, group: t.group().processes()}
	if now, alive := Identify(t.First.PID); alive && now == t.First {
		s.first, s.session = t.First.PID, t.First.PID
	}
	return s.find()
}

// Stats measures what the workload uses at this moment.
func (t Tree) Stats(ctx context.Context) (driver.Stats, error) { return measure(ctx, t.find()) }

// Kill ends all that lives of the workload, and waits until it is gone.
func (t Tree) Kill() error {
	group := t.group()
	for end := time.Now().Add(sweepTime); ; time.Sleep(sweepPause) {
		var left []Identity
		for _, pid := range t.find() {
			if i, alive := Identify(pid); alive {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			group.remove()
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes of %s do not end", len(left), t.Mark)
		}
		group.kill()
		for _, i := range left {
			_ = i.Kill() // what cannot be killed is there at the next look
		}
	}
}
