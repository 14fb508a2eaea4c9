package shim

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the processes are started with.
const (
	argv0     = "swarm-shim"
	roleGuard = "guard"
	roleShim  = "run"
	readyFD   = 3 // to say that the workload runs, or why not
	lockFD    = 4 // the lock, which is held as long as this is open
	// guardEnv tells the shim the number of its guard: when it asks for its parent that may be gone already.
	guardEnv = "SWARM_SHIM_GUARD"
)

// What guard and shim exit with.
const (
	exitDone   = 0 // exit.json says how the workload ended
	exitFailed = 1 // the workload did not start, and that was said
	exitUsage  = 64
)

// Main is the guard or the shim where this process was started as one; the program exits with its code
// then. Elsewhere it returns done false at once. It is called first in main.
func Main() (code int, done bool) {
	if len(os.Args) != 4 || os.Args[0] != argv0 {
		return 0, false
	}
	if os.Args[1] != strconv.Itoa(version) {
		fmt.Fprintf(os.Stderr, "%s: version %s is asked for, this program has %d\n", argv0, os.Args[1], version)
		return exitUsage, true
	}
	closeInherited()
	switch role, keep := os.Args[2], os.Args[3]; role {
	case roleGuard:
		return runGuard(keep), true
	case roleShim:
		return runShim(keep), true
	}
	return exitUsage, true
}

// shrink gives back the memory that the start of the program has taken, and keeps it small from now on.
func shrink() {
	debug.SetGCPercent(25)
	debug.FreeOSMemory()
}

// closeInherited closes what an agent has had open beyond what it hands on: who waits for the end of a
// pipe should not wait for a workload. What this program itself has open is closed on exec, and that way
// told from it.
func closeInherited() {
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(lockFD)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// startSelf starts this program again, in a session of its own where it is asked to be the guard. It is
// found also if its file was replaced or removed.
func startSelf(role, keep string, crash, ready, lock *os.File) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{Dir: "/", Env: selfEnv(), Files: []*os.File{null, null, crash, ready, lock}, Sys: &syscall.SysProcAttr{}}
	if role == roleGuard {
		attr.Sys.Setsid = true
	} else {
		attr.Sys.Pdeathsig = syscall.SIGUSR1
		attr.Env = append(attr.Env, guardEnv+"="+strconv.Itoa(os.Getpid()))
	}
	return os.StartProcess("/proc/self/exe", []string{argv0, strconv.Itoa(version), role, keep}, attr)
}

// selfEnv is the environment of guard and shim. Garbage is not collected before the program is up, which
// saves a fifth of the time and of the memory: see shrink.
func selfEnv() []string {
	env := []string{"GOMAXPROCS=1", "GOGC=off"}
	for _, name := range []string{"GORACE", "GOCOVERDIR"} { // of test programs
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
