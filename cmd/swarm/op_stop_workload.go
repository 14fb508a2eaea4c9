package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
)

func opStopWorkload() operation {
	var name string
	return operation{
		Spec:    ops.StopWorkload.Spec(),
		short:   "Stop a workload that is no miner; when it answers nothing of it runs any more",
		example: "  swarm controller exec stop_workload rig-01 --name web",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&name, "name", "", "the workload's `NAME`")
		},
		fill: fill(func(r *ops.NameRequest) error {
			if set(&r.Name, name); r.Name == "" {
				return errors.New("stop which workload? Give --name; list_workloads shows them")
			}
			return nil
		}),
		table: results.Workload,
	}
}
