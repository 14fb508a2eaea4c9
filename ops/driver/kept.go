package driver

import (
	"errors"
	"time"
)

// ErrGone says that nothing is known of a workload: none was started there, or it was never more than
// begun.
var ErrGone = errors.New("no workload is known there")

// Adopter is a driver whose workloads outlive the agent.
type Adopter interface {
	Driver
	// Adopt returns the handle of the workload that was started last with this Keep in its Spec, whoever
	// did that: of one that runs, or of one that has ended meanwhile. It returns ErrGone when nothing is
	// known there. Any other error says why it cannot be told; nothing was signalled then.
	Adopt(keep string) (Kept, error)
}

// Kept is a workload that outlives the agent. The handles that an Adopter starts are Kept too.
type Kept interface {
	Workload
	// Started is when it was started; zero when unknown.
	Started() time.Time
	// Ended is when it ended; zero before Done is closed, and when unknown.
	Ended() time.Time
	// Release gives up the handle and leaves the workload as it is. Done is never closed by it. Stop
	// returns an error after it.
	Release()
}
