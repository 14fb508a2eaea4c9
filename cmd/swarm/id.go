package main

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

func newIDCommand(e *env) *cobra.Command {
	var worker bool
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Print the peer ID of this controller or worker",
		Long: `Print the peer ID of this machine's controller, or of its worker with --worker. The identity is made on
first use. With --state DIR it is the one in that directory.`,
		Example: `  swarm id
  swarm id --worker
  ssh rig-01 swarm worker --allow "$(swarm id)"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			role := agent.RoleController
			if worker {
				role = agent.RoleWorker
			}
			return printID(e, role)
		},
	}
	cmd.Flags().BoolVar(&worker, "worker", false, "of the worker on this machine")
	return cmd
}

func printID(e *env, role string) (err error) {
	dir, err := e.StateDir(role)
	if err != nil {
		return err
	}
	h, err := host.New(host.Config{StateDir: dir, NoListen: true, DHT: host.DHTOff})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	return e.Print(struct {
		Peer peer.ID `json:"peer"`
		Dir  string  `json:"dir"`
	}{h.ID(), dir}, func() error {
		_, err := e.Stdout.Println(h.ID())
		return err
	})
}
