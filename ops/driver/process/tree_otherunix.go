//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// killWithFirst leaves all to cmd.Wait and sweep: there is no portable way to wait without reaping.
func (t *tree) killWithFirst() {}

// alive reports whether any process is in the group.
func (t *tree) alive() bool { return !errors.Is(syscall.Kill(-t.pid, 0), syscall.ESRCH) }

// members knows the first process only.
func (t *tree) members() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return nil
	}
	return []int{t.pid}
}
