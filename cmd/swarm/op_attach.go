package main

import "github.com/seed-b490fa12/swarm/internal/runcli"

func opAttach() operation {
	c := &runcli.Command{Attach: true}
	return operation{
		Spec: runcli.AttachSpec(), word: "attach", otherWords: []string{"reattach", "resume"}, command: c,
		short: "Show what a detached command prints (swarm run --detach), and how it ends; without ID, list them",
		example: `  swarm attach rig-01
  swarm attach rig-01 k4xq2m
  swarm attach rig-01 k4xq2m --stop`,
		flags: c.AttachFlags, fill: fill(c.FillAttach), show: c.Show,
	}
}
