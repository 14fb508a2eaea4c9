package main

import (
	"cmp"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
)

func opStopMiner() operation {
	var name, miner string
	return operation{
		Spec:       ops.StopMiner.Spec(),
		word:       "stop",
		otherWords: []string{"kill", "halt"},
		short:      "Stop a miner; when it answers nothing of it runs any more",
		example:    "  swarm stop --all --name xmrig",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&name, "name", "", "the workload's `NAME` (default: the one that runs)")
			f.StringVar(&miner, "miner", "", "the `MINER`, whose name a workload has unless it was given another")
		},
		fill: fill(func(r *ops.StopRequest) error {
			r.Name = cmp.Or(name, miner, r.Name)
			r.Only = r.Name == ""
			return nil
		}),
		table: results.Miners,
	}
}
