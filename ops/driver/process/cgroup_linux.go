package process

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// groupPrefix begins the names of our cgroups.
const groupPrefix = "swarm-"

// cgroup is a cgroup of version 2 below the agent's own that holds one workload: nothing that is begun
// in it gets out without rights on both. The zero value is none. Its methods may be called concurrently.
type cgroup struct {
	mu   sync.Mutex // guards what follows
	dir  string     // empty: there is none
	open int        // the directory, to start a process in; 0 when it was closed
	ooms int        // what the counter of oomKills stood at when it was made
}

// make makes the cgroup, where the agent may.
func (g *cgroup) make(mark string) {
	own, ok := ownCgroup()
	if !ok {
		return
	}
	dir := filepath.Join(own, groupName(mark))
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Rmdir(dir)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dir, g.open, g.ooms = dir, fd, oomKills(dir)
}

// groupName is the name of the cgroup of the workload with this mark.
func groupName(mark string) string {
	sum := sha256.Sum256([]byte(mark))
	return groupPrefix + hex.EncodeToString(sum[:8])
}

// oomed reports whether something in the cgroup was killed for want of memory since it was made.
func (g *cgroup) oomed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dir != "" && oomKills(g.dir) > g.ooms
}

// oomKills reads how many processes of a cgroup were killed for want of memory; 0 where that is not
// counted.
func oomKills(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "memory.events"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, err := strconv.Atoi(count)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
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
	if g.open > 0 {
		_ = unix.Close(g.open)
	}
	g.open = 0
}

// path is the directory; empty where there is none.
func (g *cgroup) path() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dir
}

// kill ends all that is in the cgroup, and below it.
func (g *cgroup) kill() {
	dir := g.path()
	if dir == "" {
		return
	}
	fd, err := unix.Open(filepath.Join(dir, "cgroup.kill"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // an old kernel: its processes are killed one by one
	}
	_, _ = unix.Write(fd, []byte("1"))
	_ = unix.Close(fd)
}

// processes lists the cgroup's own, without those of cgroups below it.
func (g *cgroup) processes() (pids []int) {
	dir := g.path()
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for field := range bytes.FieldsSeq(text) {
		if pid, err := strconv.Atoi(string(field)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// remove removes the cgroup, which is empty by then, and reports whether there was one.
func (g *cgroup) remove() bool {
	g.close()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir == "" {
		return false
	}
	_ = unix.Rmdir(g.dir)
	g.dir = ""
	return true
}

// removeGroups removes the cgroups that workloads of killed agents have left; those that are in use
// stay.
func removeGroups() {
	own, ok := ownCgroup()
	if !ok {
		return
	}
	old, _ := filepath.Glob(filepath.Join(own, groupPrefix+"*")) // the pattern is a good one
	for _, dir := range old {
		_ = unix.Rmdir(dir)
	}
}

// ownCgroup returns the directory of the agent's own cgroup of version 2.
func ownCgroup() (dir string, ok bool) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		path, ours := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ours {
			continue
		}
		for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} { // the latter beside version 1
			dir := filepath.Join(mount, path)
			_, isMount := os.Stat(filepath.Join(mount, "cgroup.controllers"))
			if _, err := os.Stat(dir); err == nil && isMount == nil {
				return dir, true
			}
		}
	}
	return "", false
}
