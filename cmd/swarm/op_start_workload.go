package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
)

func opStartWorkload() operation {
	var (
		in   ops.WorkloadRequest
		env  []string
		argv []string
	)
	return operation{
		Spec:  ops.StartWorkload.Spec(),
		short: "Start a command that goes on, also when the controller has gone, and is there again after a restart",
		example: `  swarm controller exec start_workload rig-01 --name web -- python3 -m http.server 8080
  swarm controller exec start_workload --on site=cabin --name logger --restart always -- /opt/logger/run --verbose`,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&in.Name, "name", "", "the workload's `NAME`")
			f.StringVar(&in.Driver, "driver", "", "how it runs, the `DRIVER`: process (default: process)")
			f.StringVar(&in.Restart, "restart", "", "`WHEN` it is started again after it ended by itself: no, on-failure or always (default: on-failure)")
			f.StringVar(&in.Dir, "dir", "", "where it runs, an absolute `PATH` there (default: a directory of its own)")
			f.StringArrayVar(&env, "env", nil, "a variable, `NAME=VALUE`; may be repeated")
		},
		behind: func(line []string) { argv = line },
		fill: fill(func(r *ops.WorkloadRequest) error {
			set(&r.Name, in.Name)
			set(&r.Driver, in.Driver)
			set(&r.Restart, in.Restart)
			set(&r.Dir, in.Dir)
			for _, kv := range env {
				name, value, ok := strings.Cut(kv, "=")
				if !ok {
					return fmt.Errorf("--env %.80q: want NAME=VALUE", kv)
				}
				if r.Env == nil {
					r.Env = make(map[string]string)
				}
				r.Env[name] = value
			}
			if len(argv) > 0 {
				r.Argv = argv
			}
			if r.Name == "" {
				return errors.New("start it under which name? Give --name, for example --name web")
			}
			if len(r.Argv) == 0 {
				return errors.New("start what? The command stands behind --, as in: -- python3 -m http.server 8080")
			}
			return nil
		}),
		table: results.Workload,
	}
}
