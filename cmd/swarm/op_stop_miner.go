package main

import (
	"cmp"
	"errors"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/ops"
)

func opStopMiner() operation {
	var name, miner string
	return operation{
		Spec:    ops.StopMiner.Spec(),
		short:   "Stop a miner; when it answers nothing of it runs any more",
		example: "  swarm controller exec stop_miner --all --name xmrig",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&name, "name", "", "the workload's `NAME`")
			f.StringVar(&miner, "miner", "", "the `MINER`, whose name a workload has unless it was given another")
		},
		fill: fill(func(r *ops.StopRequest) error {
			if r.Name = cmp.Or(name, miner, r.Name); r.Name == "" {
				return errors.New("stop which workload? Give --name")
			}
			return nil
		}),
		show: show(showMiner),
	}
}
