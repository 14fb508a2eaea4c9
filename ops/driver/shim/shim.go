// Package shim runs workloads that outlive the agent: each runs below two small processes of ours, which
// go on when the agent is killed or upgraded, and the next agent adopts it.
//
//	var d driver.Adopter = shim.Driver{}
//	w, err := d.Start(driver.Spec{Argv: argv, Dir: dir, Keep: dir + "/keep", Log: dir + "/log"})
//	// … the agent is killed, and started again …
//	w, err := d.Adopt(dir + "/keep")
//	err = w.Stop(ctx, 5*time.Second)
//
// The processes are the program itself, started again, so its main function begins with
//
//	if code, done := shim.Main(); done {
//		os.Exit(code)
//	}
//
// # Who does what
//
// The agent starts the guard, the guard starts the shim, and the shim starts the workload, by package
// process, whose promises hold here too. The shim owns the pipes and writes the log. The guard waits: when
// the shim is killed it ends what is left of the workload, of which it gets the orphans (subreaper), and
// says so. When the guard is killed, the shim does. Only who kills both at the same moment leaves work for
// the next agent.
//
// The workload cannot gain privileges by setuid programs (no_new_privs), leaves no core dumps, and is
// chosen before the agent when the machine is out of memory.
//
// # What is on the disk
//
// Each run has a directory, Keep, with mode 0700. It holds the environment of the workload, so it is to be
// removed with its other secrets once the workload has ended:
//
//	lock        locked while a guard or a shim of it lives
//	shim.json   what to run, written by the agent
//	state.json  what runs, written by the shim before Start returns
//	stop.json   the grace, written by the agent before it sends SIGTERM to the guard
//	exit.json   how it ended, written before guard and shim leave
//	crash.txt   what they had to say if they crashed
//
// The files carry a sum, the number of the run, and the version of this protocol. An agent adopts what the
// version before its own has started, and refuses what a newer one has.
//
// A process is told by its number, the time it was started, and the boot of the machine. It is opened
// first (pidfd), then compared, then signalled; if it is another one nothing is signalled, and the
// workload counts as ended.
//
// A guard that gets SIGTERM from somebody else, as at shutdown of the machine, stops its workload within
// [DefaultGrace].
package shim

import (
	"errors"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// DefaultGrace is how long a workload may take to end when the machine is shut down.
const DefaultGrace = 10 * time.Second

var (
	// ErrUnsupported says that workloads can not outlive the agent on this system.
	ErrUnsupported = errors.New("workloads can not outlive the agent here")
	// ErrNewer says that a workload was started by a newer version of the program, whose files are not
	// understood. An agent of that version can adopt it.
	ErrNewer = errors.New("a newer version of the program has started it")
	// ErrDamaged says that a file is not what was written.
	ErrDamaged = errors.New("the file is damaged")
	// ErrBusy says that a workload that was started there still runs.
	ErrBusy = errors.New("a workload of this directory still runs")
)

// Driver is the driver. The zero value is ready.
type Driver struct {
	// NoCgroup leaves workloads in the agent's own cgroup, as where it may make none.
	NoCgroup bool
}

var (
	_ driver.Adopter = Driver{}
	_ driver.Sweeper = Driver{}
	_ driver.Prober  = Driver{}
)
