package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/settings"
	"github.com/seed-b490fa12/swarm/ops"
)

func opGetLogs() operation {
	var (
		in           ops.LogsRequest
		since, until string
	)
	return operation{
		Spec:  ops.GetLogs.Spec(),
		short: "Show what a workload has printed",
		example: `  swarm controller exec get_logs rig-01 --name xmrig --lines 20
  swarm controller exec get_logs rig-01 --name xmrig --follow`,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&in.Name, "name", "", "the workload's `NAME`")
			f.IntVar(&in.Lines, "lines", 0, "how many lines (default 100)")
			f.StringVar(&since, "since", "", "from this `TIME` on: a duration back (10m) or RFC 3339")
			f.StringVar(&until, "until", "", "up to this `TIME`: a duration back (10m) or RFC 3339")
			f.Func("offset", "from this `OFFSET` of the log on, in bytes", func(s string) error {
				n, err := strconv.ParseInt(s, 10, 64)
				in.Offset = &n
				return err
			})
			f.BoolVar(&in.Follow, "follow", false, "go on until the workload ends")
		},
		fill: fill(func(r *ops.LogsRequest) (err error) {
			set(&r.Name, in.Name)
			set(&r.Lines, in.Lines)
			set(&r.Offset, in.Offset)
			set(&r.Follow, in.Follow)
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
		show: show(showLogs),
	}
}

func showLogs(r *results, t agent.Target, l ops.Logs) {
	prefix := ""
	if !r.single {
		prefix = t.Label() + " | "
	}
	if l.Gap != nil {
		r.Stderr.Printf("swarm: %s: bytes %d to %d of the log are gone: they were dropped before they could be sent\n",
			t.Label(), l.Gap.From, l.Gap.To)
	}
	for _, line := range l.Lines {
		r.Stdout.Printf("%s%s\n", prefix, output.Whole(strings.ReplaceAll(line.Text, "\t", "    ")))
	}
	if l.Exit != nil {
		r.Stderr.Printf("swarm: %s: %s ended with exit code %d\n", t.Label(), l.Name, l.Exit.Code)
	}
}
