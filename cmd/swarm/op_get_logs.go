package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/ownlog"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/settings"
	"github.com/seed-b490fa12/swarm/ops"
)

func opGetLogs() operation {
	var (
		in           ops.LogsRequest
		since, until string
		shown        results.LogView
	)
	return operation{
		Spec:       ops.GetLogs.Spec(),
		word:       "logs",
		otherWords: []string{"log", "tail"},
		short:      "Show what a workload has printed",
		example: `  swarm logs rig-01 --name xmrig --lines 20
  swarm logs rig-01 --name xmrig --follow
  swarm logs rig-01 --agent`,
		timeout: "how long a machine may take; with --follow until its first lines",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&in.Name, "name", "", "the workload's `NAME` (default: the one that runs)")
			f.IntVar(&in.Lines, "lines", 0, "how many lines (default 100)")
			f.StringVar(&since, "since", "", "from this `TIME` on: a duration back (10m) or RFC 3339")
			f.StringVar(&until, "until", "", "up to this `TIME`: a duration back (10m) or RFC 3339")
			f.Func("offset", "from this `OFFSET` of the log on, in bytes", func(s string) error {
				n, err := strconv.ParseInt(s, 10, 64)
				in.Offset = &n
				return err
			})
			f.BoolVar(&in.Agent, "agent", false, "what the worker itself has logged; without a machine, that of this one")
			f.BoolVar(&shown.Plain, "plain", false, "the lines alone, without the time at which each was printed")
			f.BoolVar(&in.Follow, "follow", false, "go on until the workload ends, over further connections if need be")
		},
		fill: fill(func(r *ops.LogsRequest) (err error) {
			set(&r.Name, in.Name)
			set(&r.Lines, in.Lines)
			set(&r.Offset, in.Offset)
			set(&r.Follow, in.Follow)
			set(&r.Agent, in.Agent)
			shown.Follow, shown.FromStart = r.Follow, since != "" || r.Offset != nil || r.Since > 0
			if since != "" {
				if r.Since, err = settings.Time(since); err != nil {
					return fmt.Errorf("--since: %w", err)
				}
			}
			if until != "" {
				if r.Until, err = settings.Time(until); err != nil {
					return fmt.Errorf("--until: %w", err)
				}
			}
			return nil
		}),
		here: ownlog.Show,
		show: show(shown.Show),
	}
}
