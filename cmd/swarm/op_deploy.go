package main

import (
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
)

func opDeploy() operation {
	var name string
	return operation{
		Spec:       deploy.Deploy.Spec(),
		word:       "deploy",
		otherWords: []string{"push", "upload", "copy"},
		short:      "Send files and put them in place, or leave things as they were",
		example: `  swarm deploy rig-01 rig-02 ./bundle
  swarm deploy --all ./bundle --name web`,
		timeout: "how long a machine may take until it takes further bytes, also when it is cut off, and a second more " +
			"in all for each 64 KiB",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&name, "name", "", "the bundle's `NAME` (default: that of the file)")
		},
		bundle: func(path string) (*deploy.Bundle, error) { return deploy.Open(path, name, 0) },
		show:   show(showDeployed),
	}
}

func showDeployed(r *results.Printer, t agent.Target, d deploy.Ack) {
	previous := ""
	if d.Previous != "" && d.Previous != d.Release {
		previous = ", was " + d.Previous
	}
	r.Stdout.Printf("%-24.60s %.60s %.60s %.60s (%s sent%.80s)\n",
		t.Label(), d.Name, d.Release, d.State, output.Size(d.Bytes), previous)
}
