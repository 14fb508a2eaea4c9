package shim

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// runGuard starts the shim, passes SIGTERM on to it, and waits until it has ended. It is the reaper of
// what the shim leaves behind when it is killed.
func runGuard(keep string) (code int) {
	// The signal at the death of the parent is at that of this thread; no_new_privs are of it alone.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	ready, locked := os.NewFile(readyFD, "ready"), os.NewFile(lockFD, lockFile)
	err := errors.Join(
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0),
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}), // a core dump has secrets, and may fill the disk
	)
	var child *os.Process
	if err == nil {
		child, err = startSelf(roleShim, keep, os.Stderr, ready, locked)
	}
	if err != nil {
		answer(ready, err)
		return exitFailed
	}
	_ = ready.Close()
	go pass(signals, child)
	shrink()
	status := waitFor(child.Pid)
	if !status.Exited() || status.ExitStatus() != exitDone && status.ExitStatus() != exitFailed {
		clean(keep)
	}
	runtime.KeepAlive(locked)
	return status.ExitStatus()
}

// pass passes on what asks to end, until the process does.
func pass(signals <-chan os.Signal, child *os.Process) {
	for s := range signals {
		if s != syscall.SIGHUP {
			_ = child.Signal(syscall.SIGTERM) // one that has ended needs none
		}
	}
}

// waitFor reaps all children until pid has ended.
func waitFor(pid int) (status syscall.WaitStatus) {
	for {
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if ended == pid || err != nil && !errors.Is(err, syscall.EINTR) {
			return status
		}
	}
}

// clean ends what a killed shim has left, and says so.
func clean(keep string) {
	tree := process.Tree{Above: os.Getpid()}
	o, err := readOrder(keep)
	if err == nil {
		tree.Mark, tree.Groups = o.Mark, process.GroupsOf(o.Mark)
	}
	_ = tree.Kill() // what does not end is the next agent's
	if err != nil {
		return
	}
	if _, err := readEnding(keep, o.Run); err != nil {
		_ = write(keep, exitFile, endingOf(o.Run, driver.Exit{Code: -1, Lost: true}), maxFile)
	}
}
