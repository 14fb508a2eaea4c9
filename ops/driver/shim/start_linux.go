package shim

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/boot"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

const (
	// startTime bounds how long a program may take to be started.
	startTime = 30 * time.Second
	// cleanTime is how long a guard may take to end what is left of a failed start.
	cleanTime = 8 * time.Second
	// maxAnswer bounds what the shim says of a failed start, in bytes.
	maxAnswer = 16 << 10
)

// Supported returns why this driver cannot be used here, nil where it can.
func Supported() error {
	if _, err := os.Readlink("/proc/self/exe"); err != nil {
		return fmt.Errorf("%w: /proc is not there: %w", ErrUnsupported, err)
	}
	if boot.ID() == "" {
		return fmt.Errorf("%w: the kernel does not tell one boot from another", ErrUnsupported)
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("%w: the kernel has no pidfd_open, as Linux has since 5.3: %w", ErrUnsupported, err)
	}
	return unix.Close(fd)
}

// Start runs spec, which names a Keep. See [driver.Driver]. What it returns is a [driver.Kept].
func (d Driver) Start(spec driver.Spec) (driver.Workload, error) {
	if err := errors.Join(validate(spec), Supported()); err != nil {
		return nil, err
	}
	if os.Args[0] == argv0 {
		return nil, errors.New("this program was to be the monitor of a workload, but its main function does not call shim.Main")
	}
	if err := os.MkdirAll(spec.Keep, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for a workload: %w", err)
	}
	if err := durable.CheckDir(spec.Keep); err != nil {
		return nil, err
	}
	held, err := lock(spec.Keep)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if err := d.give(spec); err != nil {
		return nil, err
	}
	w, err := launch(spec.Keep, held)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Argv[0], err)
	}
	return w, nil
}

// validate refuses also what a workload that outlives the agent cannot have.
func validate(spec driver.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	switch {
	case spec.Keep == "":
		return fmt.Errorf("%w: no directory to keep it in", driver.ErrSpec)
	case spec.Stdin != nil, spec.Stdout != nil, spec.Stderr != nil, spec.TTY != nil, spec.User != nil:
		return fmt.Errorf("%w: a workload that outlives the agent reads nothing from it and prints into a log", driver.ErrSpec)
	}
	for _, text := range slices.Concat(spec.Argv, spec.Env, []string{spec.Dir, spec.Mark, spec.Log}) {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: %q is no UTF-8", driver.ErrSpec, text)
		}
	}
	return nil
}

// give writes what to run, in place of what was left of the run before.
func (d Driver) give(spec driver.Spec) error {
	for _, name := range []string{stateFile, exitFile, stopFile} {
		if err := os.Remove(filepath.Join(spec.Keep, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an earlier run has left: %w", err)
		}
	}
	return write(spec.Keep, orderFile, order{
		Version: version, Run: rand.Text(), Argv: spec.Argv, Dir: spec.Dir, Env: spec.Env, OnlyEnv: spec.OnlyEnv,
		Mark: cmp.Or(spec.Mark, spec.Dir), NoCgroup: d.NoCgroup, Log: spec.Log, LogBytes: spec.LogConfig.SegmentBytes, LogSegments: spec.LogConfig.Segments,
		Memory: spec.Limits.MemoryBytes, CPU: spec.Limits.CPU, Processes: spec.Limits.Processes,
	}, maxOrder)
}

// launch starts the guard, and returns when the workload runs. On an error nothing of it does.
func launch(keep string, held *os.File) (*workload, error) {
	crash, err := durable.OpenFile(filepath.Join(keep, crashFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer crash.Close()
	r, ready, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	guard, err := startSelf(roleGuard, keep, crash, ready, held)
	_ = errors.Join(ready.Close(), held.Close()) // they are theirs now
	if err != nil {
		return nil, err
	}
	_ = r.SetReadDeadline(time.Now().Add(startTime))
	w, err := hear(r, keep)
	if err != nil {
		abandon(guard, keep, err)
		return nil, err
	}
	return w, guard.Release() // the handle waits for it
}

// abandon waits until guard and shim of a failed start are gone, and ends what they have left. They leave
// by themselves, unless the start takes too long: a guard whose shim was killed ends the workload first.
func abandon(guard *os.Process, keep string, err error) {
	patience := cleanTime
	if errors.Is(err, os.ErrDeadlineExceeded) {
		patience = 0
	}
	impatient := time.AfterFunc(patience, func() { _ = guard.Kill() }) // the shim notices
	_, _ = guard.Wait()
	impatient.Stop()
	for end := time.Now().Add(leaveTime); time.Now().Before(end); time.Sleep(lookPause) {
		if held, err := locked(keep); err != nil || !held {
			endUnknown(keep)
			return
		}
	}
}

// endUnknown ends what runs of a workload of which guard and shim are gone and have not said what it is.
func endUnknown(keep string) {
	if o, err := readOrder(keep); err == nil {
		_ = process.Tree{Mark: o.Mark, Groups: process.GroupsOf(o.Mark)}.Kill() // what does not end is found by Sweep
	}
}

// reply is what the shim says to the agent that has started it.
type reply struct {
	Error string        `json:"error"` // empty: the workload runs
	Errno syscall.Errno `json:"errno"`
	Limit bool          `json:"limit"` // it is a driver.ErrLimit
}

// startError is why a workload did not start, as the shim has said.
type startError struct{ reply }

func (e *startError) Error() string { return e.reply.Error }

func (e *startError) Unwrap() (all []error) {
	if e.Errno != 0 {
		all = append(all, e.Errno)
	}
	if e.Limit {
		all = append(all, driver.ErrLimit)
	}
	return all
}

// answer says to the agent whether the workload runs. An agent that is gone by now adopts it later.
func answer(ready *os.File, err error) {
	var r reply
	if err != nil {
		r.Error, r.Limit = err.Error(), errors.Is(err, driver.ErrLimit)
		r.Errno, _ = errors.AsType[syscall.Errno](err)
	}
	text, err := json.Marshal(r)
	if err != nil { // for what is no UTF-8
		text = []byte(`{"error":"it cannot be said why"}`)
	}
	_, _ = ready.Write(text)
	_ = ready.Close()
}

// hear waits for what answer is called with, and returns the handle of what runs.
func hear(ready io.Reader, keep string) (*workload, error) {
	if err := hearAnswer(ready); err != nil {
		return nil, err
	}
	s, err := readState(keep)
	if err != nil {
		return nil, err
	}
	return attach(keep, s)
}

func hearAnswer(ready io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(ready, maxAnswer))
	if err != nil {
		return fmt.Errorf("wait for its monitor: %w", err)
	}
	if len(text) == 0 {
		return fmt.Errorf("its monitor ended before it ran: %s may say why", crashFile)
	}
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("its monitor answers something else: %w", err)
	}
	if r.Error != "" {
		return &startError{r}
	}
	return nil
}

// Sweep ends all that still runs of workloads whose mark was dir, or below it. Their guards and shims end
// with them. See [driver.Sweeper].
func (Driver) Sweep(dir string) (killed int, err error) { return process.Driver{}.Sweep(dir) }

// Probe tries each limit. See [driver.Prober].
func (d Driver) Probe() driver.Enforced { return process.Driver{NoCgroup: d.NoCgroup}.Probe() }
