// Package workloadcli is the command line of a workload that is started on machines.
package workloadcli

import (
	"cmp"
	"errors"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/runcli"
	"github.com/seed-b490fa12/swarm/ops"
)

// Command is a command to be started on machines, with its flags. It is for one use.
type Command struct {
	in   ops.WorkloadRequest
	env  []string
	argv []string
}

// Flags declares the flags.
func (c *Command) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.in.Name, "name", "", "the workload's `NAME`")
	f.StringVar(&c.in.Driver, "driver", "", "how it runs, the `DRIVER`: process or wasm (default: process)")
	f.StringVar(&c.in.Restart, "restart", "",
		"`WHEN` it is started again after it ended by itself: no, on-failure or always (default: on-failure)")
	f.StringVar(&c.in.Dir, "dir", "", "where it runs, an absolute `PATH` there (default: a directory of its own)")
	f.Var((*size)(&c.in.MemoryBytes), "memory", "the `SIZE` of its memory, as 64MiB: with more it is killed")
	f.Float64Var(&c.in.CPU, "cpu", 0, "the `NUMBER` of processors it uses at most, as 0.5")
	f.IntVar(&c.in.Processes, "processes", 0, "the `NUMBER` of processes and threads it has at most")
	f.StringArrayVar(&c.env, "env", nil, "a variable, `NAME=VALUE`; may be repeated")
}

// Take takes what stands behind "--".
func (c *Command) Take(argv []string) { c.argv = argv }

// Fill puts what was said into a request.
func (c *Command) Fill(r *ops.WorkloadRequest) error {
	r.Name, r.Driver = cmp.Or(c.in.Name, r.Name), cmp.Or(c.in.Driver, r.Driver)
	r.Restart, r.Dir = cmp.Or(c.in.Restart, r.Restart), cmp.Or(c.in.Dir, r.Dir)
	r.MemoryBytes, r.CPU = cmp.Or(c.in.MemoryBytes, r.MemoryBytes), cmp.Or(c.in.CPU, r.CPU)
	r.Processes = cmp.Or(c.in.Processes, r.Processes)
	env, err := runcli.Variables(r.Env, c.env)
	if err != nil {
		return err
	}
	r.Env = env
	if len(c.argv) > 0 {
		r.Argv = c.argv
	}
	if r.Name == "" {
		return errors.New("start it under which name? Give --name, for example --name web")
	}
	if len(r.Argv) == 0 {
		return errors.New("start what? The command stands behind --, as in: -- python3 -m http.server 8080")
	}
	return nil
}
