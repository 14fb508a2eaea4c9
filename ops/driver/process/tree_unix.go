//go:build unix

package process

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// tree is a session with its process group, both named by the process ID of its first process.
type tree struct {
	pid int // set once by adopt, before anyone else sees the tree

	mu   sync.Mutex
	gone bool // guarded by mu: the tree ended, its number may belong to others
}

func (t *tree) adopt(pid int) error {
	t.pid = pid
	return nil
}

// ask sends the polite signal to the whole process group.
func (t *tree) ask() { t.signal(syscall.SIGTERM) }

// kill ends all that is in the tree now.
func (t *tree) kill() {
	t.signal(syscall.SIGKILL)
	for _, pid := range t.members() {
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
	for end := time.Now().Add(sweepTime); t.alive() && time.Now().Before(end); time.Sleep(sweepPause) {
		t.kill()
	}
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
}

func signalName(state *os.ProcessState) string {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal().String()
	}
	return ""
}

func systemEnvironment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}
