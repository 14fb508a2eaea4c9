package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// killWithFirst waits until the first process has ended, leaves it unreaped, and kills the rest:
// until cmd.Wait the kernel can not give its number to anybody else, so that this hits nobody else.
func (t *tree) killWithFirst() {
	for {
		err := unix.Waitid(unix.P_PID, t.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	t.kill()
}

func (t *tree) alive() bool { return len(t.members()) > 0 }

// Sweep ends what an earlier agent has left of the workloads in dir. See [driver.Sweeper].
func (Driver) Sweep(dir string) (killed int, err error) {
	seen := make(map[int]bool)
	for end := time.Now().Add(sweepTime); ; time.Sleep(sweepPause) {
		left := marked(dir)
		for _, pid := range left {
			seen[pid] = true
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(left) == 0 {
			return len(seen), nil
		}
		if time.Now().After(end) {
			return len(seen), fmt.Errorf("%d processes of %s do not end: %w", len(left), dir, err)
		}
	}
}

// marked lists the living processes whose environment has the marker of dir. That of other users'
// processes can not be read, and is not ours. A zombie has none.
func marked(dir string) []int {
	want := append([]byte{0}, marker(dir)+"\x00"...)
	var pids []int
	for _, pid := range allProcesses() {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err == nil && bytes.Contains(append([]byte{0}, env...), want) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func allProcesses() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// members lists the living processes of the session. A shell with job control gives its children
// groups of their own, but they stay in the session.
func (t *tree) members() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return nil
	}
	var pids []int
	for _, pid := range allProcesses() {
		if livesInSession(pid, t.pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// livesInSession reads /proc/PID/stat: "pid (name) state ppid pgrp session …". The name may hold
// spaces and parentheses, so fields count from the last one.
func livesInSession(pid, session int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return false
	}
	return string(fields[3]) == strconv.Itoa(session)
}
