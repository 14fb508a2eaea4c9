package main

import "github.com/seed-b490fa12/swarm/internal/runcli"

func opRun() operation {
	c := new(runcli.Command)
	return operation{
		Spec: runcli.Spec(), word: "run", otherWords: []string{"command", "cmd"}, command: c,
		short: "Run a command on machines, and see what it prints",
		example: `  swarm run rig-01 -- uptime
  swarm run --on site=cabin -- df -h /
  swarm run rig-01 --tty -- top
  swarm run rig-01 --detach -- make world
  swarm run rig-01 --dir /var/log --timeout 1m -- grep -c error syslog
  swarm run --all -- sh -c 'cat > /tmp/list; wc -l /tmp/list' < list`,
		timeout: "how long the command may take (default: as long as it does), and how long a machine may take until it runs",
		flags:   c.Flags, fill: fill(c.Fill), show: c.Show,
	}
}
