package main

import "github.com/seed-b490fa12/swarm/internal/runcli"

func opShell() operation {
	c := &runcli.Command{Shell: true}
	return operation{
		Spec: runcli.ShellSpec(), word: "shell", otherWords: []string{"ssh", "sh", "bash", "terminal"}, command: c,
		short: "Open a login shell on a machine; Enter and ~. leave one that does not answer",
		example: `  swarm shell rig-01
  swarm shell rig-01 < script`,
		timeout: "how long the machine may take until the shell runs",
		fill:    fill(c.FillShell), show: c.Show,
	}
}
