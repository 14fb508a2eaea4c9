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

func (t *tree) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	attr.CgroupFD, attr.UseCgroupFD = t.group.fd()
	return t.controlled(attr)
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

func (t *tree) alive() bool { return len(t.left()) > 0 }

// Sweep ends what an earlier agent has left of the workloads in dir. See [driver.Sweeper].
func (Driver) Sweep(dir string) (killed int, err error) {
	defer removeGroups()
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

// marked lists the living processes whose environment has the mark dir, or one below it.
func marked(dir string) []int {
	var pids []int
	for _, pid := range allProcesses() {
		if isMarked(pid, dir, true) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isMarked reports whether the environment of a process has the mark; with below also one below it. That of
// other users' processes can not be read, and is not ours. A zombie has none.
func isMarked(pid int, mark string, below bool) bool {
	if mark == "" {
		return false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	env = append([]byte{0}, env...)
	want := append([]byte{0}, marker(mark)...)
	return bytes.Contains(env, append(want, 0)) || below && bytes.Contains(env, append(want, '/'))
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

// left lists all living processes that belong to the tree.
func (t *tree) left() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return nil
	}
	s := signs{session: t.pid, mark: t.mark, group: t.group.processes()}
	if !t.reaped {
		s.first = t.pid
	}
	if t.all {
		s.above = os.Getpid()
	}
	return s.find()
}

// signs are what the processes of a workload are known by: they are in its cgroup or its session, descend
// from its first process or from one above all of it, or carry its mark. Zero ones are no sign.
type signs struct {
	session, first, above int
	mark                  string
	group                 []int // the processes of its cgroup
}

// find lists all living processes that have one of the signs, and their descendants.
func (s signs) find() (pids []int) {
	ours := map[int]bool{s.first: s.first > 0, s.above: s.above > 0}
	for _, pid := range s.group {
		ours[pid] = true
	}
	parents := make(map[int]int) // of the living ones
	for _, pid := range allProcesses() {
		p, alive := statOf(pid)
		if !alive {
			continue
		}
		parents[pid] = p.parent
		if s.session > 0 && p.session == s.session || isMarked(pid, s.mark, false) {
			ours[pid] = true
		}
	}
	for pid := range parents {
		if pid != s.above && descends(pid, parents, ours) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descends reports whether a process, or an ancestor of it, is one of ours.
func descends(pid int, parents map[int]int, ours map[int]bool) bool {
	for range len(parents) { // as processes come and go, what was read may have a loop
		if ours[pid] || pid <= 1 {
			return ours[pid]
		}
		pid = parents[pid]
	}
	return false
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
		if s, alive := statOf(pid); alive && s.session == t.pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat is what the kernel says of a process.
type stat struct {
	parent, session int
	started         uint64 // in ticks since the boot
}

// statOf reads /proc/PID/stat: "pid (name) state ppid pgrp session …". The name may hold spaces and
// parentheses, so fields count from the last one. It returns false for a process that does not live.
func statOf(pid int) (s stat, alive bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, false
	}
	_, rest, ok := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 20 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return s, false
	}
	s.parent, err = strconv.Atoi(string(fields[1]))
	if err == nil {
		s.session, err = strconv.Atoi(string(fields[3]))
	}
	if err == nil {
		s.started, err = strconv.ParseUint(string(fields[19]), 10, 64)
	}
	return s, err == nil
}
