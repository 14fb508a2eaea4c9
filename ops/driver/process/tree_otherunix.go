//go:build unix && !linux

package process

import (
	"errors"
	"syscall"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

func (t *tree) attributes() *syscall.SysProcAttr {
	return t.controlled(&syscall.SysProcAttr{Setsid: true})
}

// cgroup is of Linux.
type cgroup struct{}

// make enforces no limits: there is nothing here that would.
func (cgroup) make(_ string, l driver.Limits) error { return noLimits(l) }

func (cgroup) enter() (leave func() error, err error) { return func() error { return nil }, nil }

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
