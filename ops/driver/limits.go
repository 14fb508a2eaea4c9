package driver

import (
	"errors"
	"fmt"
)

// ErrLimit says that a limit of a Spec can not be enforced on this machine. The error that has it names the
// limit and what is missing.
var ErrLimit = errors.New("a limit can not be enforced on this machine")

// The least limits: with less hardly a program starts.
const (
	minMemory = 1 << 20 // bytes
	minCPU    = 0.01
	maxCPU    = 10_000
)

// Limits bound what a whole workload uses, however many processes it has. Zero is no limit. Those that a
// Spec has are enforced from the first process on, or the workload is not started.
type Limits struct {
	MemoryBytes int64   // memory, without swap; a workload that needs more is killed
	CPU         float64 // processors, 0.5 is half of one
	Processes   int     // processes and their threads, alive at a time
}

// Validate tells what is wrong with the limits; the error is an [ErrSpec].
func (l Limits) Validate() error {
	switch {
	case l.MemoryBytes != 0 && l.MemoryBytes < minMemory:
		return fmt.Errorf("%w: %d bytes of memory, need 1 MiB at least", ErrSpec, l.MemoryBytes)
	case l.CPU != 0 && !(l.CPU >= minCPU && l.CPU <= maxCPU): // also what is no number
		return fmt.Errorf("%w: %v processors, need %v to %v", ErrSpec, l.CPU, minCPU, maxCPU)
	case l.Processes < 0:
		return fmt.Errorf("%w: %d processes", ErrSpec, l.Processes)
	}
	return nil
}

// Prober is a driver that tells which limits it can enforce.
type Prober interface {
	// Probe tries on this machine.
	Probe() Enforced
}

// Enforced says by what each limit is enforced.
type Enforced struct{ Memory, CPU, Processes Means }

// Means is what enforces a limit.
type Means struct {
	By  string // as "cgroup v2"; empty: nothing does
	Why string // why nothing does
}
