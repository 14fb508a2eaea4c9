package main

import (
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

func opDeploy() operation {
	var name string
	return operation{
		Spec:  deploy.Deploy.Spec(),
		short: "Send a file or directory, and put it in place or leave things as they were",
		example: `  swarm controller exec deploy rig-01 rig-02 ./bundle
  swarm controller exec deploy --all ./bundle --name web`,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&name, "name", "", "the bundle's `NAME` (default: that of the file)")
		},
		bundle: func(path string) (*deploy.Bundle, error) { return deploy.Open(path, name, 0) },
		show:   show(showDeployed),
	}
}

func showDeployed(r *results, t agent.Target, d deploy.Ack) {
	previous := ""
	if d.Previous != "" && d.Previous != d.Release {
		previous = ", was " + d.Previous
	}
	r.Stdout.Printf("%-24.60s %.60s %.60s %.60s (%s sent%.80s)\n",
		t.Label(), d.Name, d.Release, d.State, output.Size(d.Bytes), previous)
}
