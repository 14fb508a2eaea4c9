package process

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// AsInit does the work of process 1, where this program is that, as in a container: it runs the program
// once more below itself, passes signals on to it, and reaps the orphans of its workloads, which would
// stay as zombies. In the program itself a reaper would take the ends of its own children away from it.
// It returns what the program below has ended with; done is false where this is not process 1.
func AsInit() (code int, done bool) {
	if os.Getpid() != 1 {
		return 0, false
	}
	exe, err := os.Executable()
	if err != nil {
		return 0, false
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // before the program can be waited for
	child, err := os.StartProcess(exe, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, false
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGCHLD && s != syscall.SIGURG { // the latter is the Go runtime's own
				_ = child.Signal(s) // one that has ended needs none
			}
		}
	}()
	return reap(child.Pid), true
}

// reap waits for all children until pid has ended, and returns its exit code.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1 // there is no child, which cannot be
		case ended != pid:
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}
