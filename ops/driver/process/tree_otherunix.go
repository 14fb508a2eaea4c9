//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

func (t *tree) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// cgroup is of Linux.
type cgroup struct{}

func (cgroup) make(string)  {}
func (cgroup) close()       {}
func (cgroup) remove() bool { return false }
func (cgroup) kill()        {}
func (cgroup) oomed() bool  { return false }

// killWithFirst leaves all to cmd.Wait and sweep: there is no portable way to wait without reaping.
func (t *tree) killWithFirst() {}

// alive reports whether any process is in the group.
func (t *tree) alive() bool { return !errors.Is(syscall.Kill(-t.pid, 0), syscall.ESRCH) }

func (t *tree) left() []int { return t.members() }

// members knows the first process only.
func (t *tree) members() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return nil
	}
	return []int{t.pid}
}
