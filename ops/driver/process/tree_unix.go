//go:build unix

package process

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// terminals says that a terminal can control a session here, and users that a process can be another
// user's.
const (
	terminals = true
	users     = true
)

// tree is a session with its process group, both named by the process ID of its first process.
type tree struct {
	pid   int    // set once by adopt, before anyone else sees the tree
	mark  string // set by prepare
	group cgroup // what holds the whole tree, where there is one
	all   bool   // set by prepare: all that is below this process is of the tree
	tty   bool   // set by prepare: a terminal controls the session

	mu   sync.Mutex
	gone bool // guarded by mu: the tree ended, its number may belong to others
	// reaped is guarded by mu: the first process was waited for, and its number may belong to another
	// one, unless that is the number of a session still.
	reaped bool
}

// prepare is called first.
func (t *tree) prepare(spec driver.Spec, d Driver) error {
	t.mark, t.all, t.tty = spec.Mark, d.Reaper, spec.TTY != nil
	if !d.NoCgroup {
		return t.group.make(spec.Mark, spec.Limits)
	}
	if spec.Limits != (driver.Limits{}) {
		return fmt.Errorf("%w: cgroups are switched off", driver.ErrLimit)
	}
	return nil
}

// enter has this thread begin processes in the tree, until it leaves.
func (t *tree) enter() (leave func() error, err error) { return t.group.enter() }

// ungroup goes on without a cgroup; it returns false where there was none.
func (t *tree) ungroup() bool { return t.group.remove() }

func (t *tree) adopt(pid int) error {
	t.group.close()
	t.pid = pid
	return nil
}

// outOfMemory reports whether the kernel killed something in the cgroup for want of memory.
func (t *tree) outOfMemory() bool { return t.group.oomed() }

// ask sends the polite signal to the whole process group. At a terminal that is a hangup, as shells take
// no notice of others there; what is stopped goes on to hear of it.
func (t *tree) ask() {
	if !t.tty {
		t.signal(syscall.SIGTERM)
		return
	}
	t.signal(syscall.SIGHUP)
	t.signal(syscall.SIGCONT)
}

// become makes a process that of a user; nil is ours.
func become(attr *syscall.SysProcAttr, u *driver.User) {
	if u != nil {
		attr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
}

// controlled has the standard input control the session, where that is a terminal.
func (t *tree) controlled(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Setctty = t.tty // Ctty is 0, the standard input
	return attr
}

// kill ends all that is in the tree now.
func (t *tree) kill() {
	t.signal(syscall.SIGKILL)
	t.group.kill()
	for _, pid := range t.left() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (t *tree) signal(sig syscall.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.gone {
		_ = syscall.Kill(-t.pid, sig)
	}
}

// sweep kills until nothing is left: a process may have forked while we looked.
func (t *tree) sweep() {
	t.mu.Lock()
	t.reaped = true
	t.mu.Unlock()
	for end := time.Now().Add(sweepTime); t.alive() && time.Now().Before(end); time.Sleep(sweepPause) {
		t.kill()
	}
	t.group.remove()
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
}

func signalOf(state *os.ProcessState) (name string, number int) {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal().String(), int(ws.Signal())
	}
	return "", 0
}

func systemEnvironment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}
