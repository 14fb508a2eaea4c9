// Package driver says what it means to run one workload on this machine.
//
// A [Driver] starts a [Spec] and gives back a [Workload], the handle of what now runs. Package
// process is the driver for plain operating system processes:
//
//	var d driver.Driver = process.Driver{}
//	w, err := d.Start(driver.Spec{
//		Argv:   []string{"/usr/bin/xmrig", "--config=/var/lib/swarm/…/config.json"},
//		Dir:    dir,
//		Stdout: log.Writer(logs.Stdout),
//		Stderr: log.Writer(logs.Stderr),
//	})
//	…
//	err = w.Stop(ctx, 5*time.Second) // asks, waits, then ends the whole tree
//	exit := w.Exit()
//
// A driver knows nothing of miners, messages or restarts; those who use it decide what an exit
// means.
package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/ops/logs"
)

// Limits of a Spec.
const (
	// MaxArgs bounds the number of arguments, the program itself included.
	MaxArgs = 256
	// MaxArgBytes bounds the bytes of all arguments together.
	MaxArgBytes = 64 << 10
)

// ErrSpec says that a Spec can not be run as it is written. Trying again will not help.
var ErrSpec = errors.New("bad workload spec")

// Spec is what to run. It is plain data: nothing in it is interpreted by a shell.
type Spec struct {
	// Argv is the program, as an absolute path, and its arguments. Secrets do not belong here, as
	// every user of the machine can read them: put them into a file with mode 0600.
	Argv []string
	// Name, if not empty, is what the program is told that it is called, in place of Argv[0]: a shell takes a
	// "-" at its beginning for a login. A driver whose workloads outlive the agent has no use for it.
	Name string
	// User, if not nil, is whom the workload belongs to; the agent must be root. Nil is the agent's own. A
	// driver whose workloads outlive the agent refuses it, and so does one on Windows.
	User *User
	// Dir is the working directory, an absolute path. It is also the workload's HOME.
	Dir string
	// Env holds "KEY=value" pairs that are added to the driver's short list. The environment of the
	// agent is never handed on.
	Env []string
	// OnlyEnv leaves out the driver's list: Env is all there is, beside what the driver knows its
	// workloads by.
	OnlyEnv bool
	// Mark is what the driver knows the workload's processes by, in the form of an absolute path; empty
	// means Dir. No two workloads that run at a time have the same.
	Mark string
	// Stdin is what the workload reads; nil is an empty input.
	Stdin *os.File
	// Stdout and Stderr take what the workload prints; nil drops it. They are written from one
	// goroutine each, and never again once the workload is done. A driver whose workloads outlive the
	// agent has no use for them, and refuses them.
	Stdout, Stderr io.Writer
	// TTY, if not nil, is the workload's side of a terminal, which takes the place of Stdin, Stdout and
	// Stderr, and controls the workload's session: Stop begins with a hangup. The caller closes it. A driver
	// whose workloads outlive the agent refuses it, and so does one on Windows.
	TTY *os.File
	// Keep is the directory, as an absolute path, in which a driver whose workloads outlive the agent
	// keeps what it knows of this one. No two workloads that run at a time have the same. Other drivers
	// have no use for it.
	Keep string
	// Log is the directory, as an absolute path, of the log into which such a driver puts what the workload
	// prints, and LogConfig its size. Others read it with logs.Beside. Empty drops what is printed.
	Log       string
	LogConfig logs.Config
	// Limits bound what the workload uses.
	Limits Limits
}

// User is a user of the machine, by its numbers.
type User struct {
	UID, GID uint32
	Groups   []uint32 // beside GID
}

// Validate tells what is wrong with the spec; the error is an [ErrSpec].
func (s Spec) Validate() error {
	if len(s.Argv) == 0 || len(s.Argv) > MaxArgs {
		return fmt.Errorf("%w: %d arguments, need 1 to %d", ErrSpec, len(s.Argv), MaxArgs)
	}
	if !filepath.IsAbs(s.Argv[0]) || !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("%w: program %q and directory %q must be absolute paths", ErrSpec, s.Argv[0], s.Dir)
	}
	size := 0
	for _, arg := range s.Argv {
		if size += len(arg); strings.ContainsRune(arg, 0) {
			return fmt.Errorf("%w: zero byte in argument %q", ErrSpec, arg)
		}
	}
	if size > MaxArgBytes {
		return fmt.Errorf("%w: arguments take %d bytes, at most %d", ErrSpec, size, MaxArgBytes)
	}
	if s.Mark != "" && (!filepath.IsAbs(s.Mark) || strings.ContainsRune(s.Mark, 0)) {
		return fmt.Errorf("%w: mark %q must have the form of an absolute path", ErrSpec, s.Mark)
	}
	for what, dir := range map[string]string{"keep": s.Keep, "log": s.Log} {
		if dir != "" && (!filepath.IsAbs(dir) || strings.ContainsRune(dir, 0)) {
			return fmt.Errorf("%w: %s directory %q must be an absolute path", ErrSpec, what, dir)
		}
	}
	if s.TTY != nil && (s.Stdin != nil || s.Stdout != nil || s.Stderr != nil) {
		return fmt.Errorf("%w: a terminal takes the place of stdin, stdout and stderr", ErrSpec)
	}
	if strings.ContainsRune(s.Name, 0) {
		return fmt.Errorf("%w: zero byte in the name %q", ErrSpec, s.Name)
	}
	for _, kv := range s.Env {
		if key, _, ok := strings.Cut(kv, "="); !ok || key == "" || strings.ContainsRune(kv, 0) {
			return fmt.Errorf("%w: environment entry %q is not KEY=value", ErrSpec, key)
		}
	}
	return s.Limits.Validate()
}

// Driver starts workloads. It is safe for concurrent use.
type Driver interface {
	// Start returns once the workload really runs: a program that is missing or not executable is
	// an error here. The workload does not end with the caller; call Stop.
	Start(Spec) (Workload, error)
}

// Sweeper is a driver that can find what an agent that was killed has left behind.
type Sweeper interface {
	// Sweep ends all that still runs of workloads whose mark was dir, or below it, and returns how
	// many processes that were. It must not be called while one of them is wanted.
	Sweep(dir string) (killed int, err error)
}

// Workload is one running (or ended) workload. All methods are safe for concurrent use.
type Workload interface {
	// PID is the process ID of the first process.
	PID() int
	// Done is closed when the workload has ended, nothing of its tree runs any more, and all output
	// was written.
	Done() <-chan struct{}
	// Exit tells how it ended; before Done is closed it is the zero value.
	Exit() Exit
	// Stop asks the workload to end, waits up to grace, and then kills the whole tree. It returns
	// when Done is closed, at once if it already is. When ctx ends first Stop returns its error,
	// and the stopping goes on. Of many calls the one whose grace ends first counts.
	Stop(ctx context.Context, grace time.Duration) error
	// Stats measures what the tree uses at this moment.
	Stats(ctx context.Context) (Stats, error)
}

// Exit is the way a workload ended.
type Exit struct {
	// Code is the exit code, or -1 when a signal ended the process, or it is not known.
	Code int
	// Signal names the signal that ended it, as "killed"; empty when it exited. Number is that of the
	// signal.
	Signal string
	Number int
	// OutOfMemory says that the kernel killed the process because it needed more memory than it may have, or
	// something that it has started, and it told so as a shell does (137).
	OutOfMemory bool
	// Lost says that what looked after the workload was ended itself, and the workload therefore too.
	Lost bool
}

// String is the exit in words, as "exit code 2" or "signal killed".
func (e Exit) String() string {
	switch {
	case e.Lost:
		return "its monitor was lost"
	case e.OutOfMemory:
		return "out of memory"
	case e.Signal != "":
		return "signal " + e.Signal
	case e.Code < 0:
		return "exit code unknown"
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Stats is what a workload uses.
type Stats struct {
	Processes  int     // processes alive
	RSS        uint64  // resident memory of all of them, in bytes
	CPUSeconds float64 // processor time the living ones have used, in seconds
}
