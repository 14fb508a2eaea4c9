package main

import (
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/runcli"
)

func opRun() operation {
	c := new(runcli.Command)
	return operation{
		Spec:       runcli.Spec(),
		word:       "run",
		otherWords: []string{"ssh", "command", "cmd", "sh"},
		short:      "Run a command on machines, and see what it prints",
		example: `  swarm run rig-01 -- uptime
  swarm run --on site=cabin -- df -h /
  swarm run rig-01 --dir /var/log --timeout 1m -- grep -c error syslog
  swarm run --all -- sh -c 'cat > /tmp/list; wc -l /tmp/list' < list`,
		timeout: "how long the command may take (default: as long as it does), and how long a machine may take until it runs",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&c.Dir, "dir", "", "where it runs, an absolute `PATH` there (default: the home directory of the worker's user)")
			f.StringArrayVar(&c.Env, "env", nil, "a variable, `NAME=VALUE`; may be repeated")
			f.BoolVarP(&c.Input, "input", "i", false, "send standard input from a terminal, too; files and pipes are sent anyway")
			f.BoolVar(&c.Raw, "raw", false, "print control characters as they are, also on a terminal and of several machines")
		},
		fill:    fill(c.Fill),
		show:    c.Show,
		command: c,
	}
}
