package process

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

const (
	// groupPrefix begins the names of our cgroups.
	groupPrefix = "swarm-"
	// agentGroup is the name of the one into which the agent goes where its own has to hold others.
	agentGroup = groupPrefix + "agent"
	// removeTries is how often the removal of a cgroup is tried whose processes have just ended.
	removeTries = 20
)

// cgroup is what holds one workload: a cgroup of version 2 below the agent's own, where there may be one,
// and those of version 1 that its limits need. Nothing that is begun in them gets out without rights on
// both. The zero value is none. Its methods may be called concurrently.
type cgroup struct {
	mu   sync.Mutex   // guards what follows
	dirs []string     // its directories; the first is that of version 2, if there is one
	old  []oldGroup   // those of version 1
	pids limitedCount // the limit of processes where that is one of version 1
	open int          // the directory of version 2, to start a process in; 0 when it was closed, or is none
	ooms int          // what the counter of oomKills stood at when it was made
}

// oldGroup is a cgroup of version 1, and the one that the agent is in.
type oldGroup struct{ dir, own string }

// limitedCount is a file that limits the number of processes; empty for none.
type limitedCount struct {
	file string
	most int
}

// make makes the cgroup, where the agent may. Without limits it is no error when it may not. The error
// matches [driver.ErrLimit].
func (g *cgroup) make(mark string, l driver.Limits) error {
	if err := g.makeFor(mark, l); err != nil {
		return fmt.Errorf("%w: %w", driver.ErrLimit, err)
	}
	return nil
}

func (g *cgroup) makeFor(mark string, l driver.Limits) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := hierarchies()
	err := errNoUnified
	if own := h.unified; own != "" {
		err = g.makeUnified(filepath.Join(own, groupName(mark)))
	}
	if err := g.limit(h, groupName(mark), l, err); err != nil {
		g.removeAll()
		return err
	}
	g.ooms = oomKills(g.dirs)
	return nil
}

// errNoUnified says that there are no cgroups of version 2.
var errNoUnified = errors.New("there is no cgroup of version 2")

// makeUnified makes the cgroup of version 2. It needs mu.
func (g *cgroup) makeUnified(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Rmdir(dir)
		return err
	}
	g.dirs, g.open = append(g.dirs, dir), fd
	return nil
}

// groupName is the name of the cgroups of the workload with this mark.
func groupName(mark string) string {
	sum := sha256.Sum256([]byte(mark))
	return groupPrefix + hex.EncodeToString(sum[:8])
}

// enter has this thread, which the caller has locked, begin processes in the cgroups of version 1; those of
// version 2 take a descriptor. The thread has to leave them again.
func (g *cgroup) enter() (leave func() error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.old) == 0 {
		return func() error { return nil }, nil
	}
	me := strconv.Itoa(unix.Gettid())
	if g.pids.file != "" { // the thread counts as long as it is there
		err = put(g.pids.file, strconv.Itoa(g.pids.most+1))
	}
	for _, o := range g.old {
		err = errors.Join(err, put(filepath.Join(o.dir, "tasks"), me))
	}
	leave = func() (err error) {
		if g.pids.file != "" {
			err = put(g.pids.file, strconv.Itoa(g.pids.most))
		}
		for _, o := range g.old {
			err = errors.Join(err, put(filepath.Join(o.own, "tasks"), me))
		}
		return err
	}
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	return leave, nil
}

// oomed reports whether something in the cgroup was killed for want of memory since it was made.
func (g *cgroup) oomed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return oomKills(g.dirs) > g.ooms
}

// oomKills reads how many processes of cgroups were killed for want of memory, where that is counted.
func oomKills(dirs []string) (n int) {
	for _, dir := range dirs {
		for _, name := range []string{"memory.events", "memory.oom_control"} { // of version 2, and 1
			for line := range strings.Lines(kernelSays(filepath.Join(dir, name))) {
				if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
					more, _ := strconv.Atoi(count) // what is no number counts as none
					n += more
				}
			}
		}
	}
	return n
}

// fd returns the directory, to start a process in.
func (g *cgroup) fd() (fd int, use bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open, g.open > 0
}

// close says that no process is started any more.
func (g *cgroup) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closeFD()
}

// closeFD needs mu.
func (g *cgroup) closeFD() {
	if g.open > 0 {
		_ = unix.Close(g.open)
	}
	g.open = 0
}

// paths are the directories; none where there is no cgroup.
func (g *cgroup) paths() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.dirs...)
}

// kill ends all that is in the cgroup, and below it, where the kernel does that: elsewhere its processes
// are killed one by one.
func (g *cgroup) kill() {
	for _, dir := range g.paths() {
		_ = put(filepath.Join(dir, "cgroup.kill"), "1")
	}
}

// processes lists the cgroup's own, without those of cgroups below it.
func (g *cgroup) processes() (pids []int) {
	for _, dir := range g.paths() {
		for field := range strings.FieldsSeq(kernelSays(filepath.Join(dir, "cgroup.procs"))) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// remove removes the cgroup, which is empty by then, and reports whether there was one.
func (g *cgroup) remove() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.removeAll()
}

// removeAll needs mu.
func (g *cgroup) removeAll() bool {
	g.closeFD()
	had := len(g.dirs) > 0
	for _, dir := range g.dirs {
		for range removeTries {
			if err := unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(sweepPause)
		}
	}
	g.dirs, g.old, g.pids = nil, nil, limitedCount{}
	return had
}

// removeGroups removes the cgroups that workloads of killed agents have left; those that are in use
// stay.
func removeGroups() {
	for _, own := range hierarchies().all() {
		old, _ := filepath.Glob(filepath.Join(own, groupPrefix+"*")) // the pattern is a good one
		for _, dir := range old {
			_ = unix.Rmdir(dir)
		}
	}
}

// put writes into a file of the kernel's.
func put(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		_ = unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "write " + value + " to", Path: path, Err: err}
	}
	return nil
}

// kernelSays reads a file of the kernel's; one that is not there is empty.
func kernelSays(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}
