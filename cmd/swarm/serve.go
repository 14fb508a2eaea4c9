package main

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/process"
)

func newServeCommand(e *env) *cobra.Command {
	var (
		r        reach
		listen   []string
		healthAt string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the long-lived controller of this machine",
		Long: `Run the long-lived controller: it stays connected with all saved machines, so commands are answered at
once. Commands of this user on this machine that use the same state directory go through it
automatically.`,
		Example: `  swarm controller serve
  swarm controller serve --listen /ip4/0.0.0.0/tcp/4748`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			defer process.OutliveReader()()
			dir, err := e.stateDir(agent.RoleController)
			if err != nil {
				return err
			}
			h, err := health.Start(healthAt)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.Close()) }()
			cfg, err := r.config(dir, e.log)
			if err != nil {
				return err
			}
			cfg.Listen = listen
			c, err := agent.NewServe(cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			return control.NewServer(c).Serve(cmd.Context(), control.SocketPath(dir), func() error {
				h.Ready(cmd.Context())
				return printServing(cmd.Context(), e, c, dir)
			})
		},
	}
	f := cmd.Flags()
	r.flags(f)
	netflags.Listen(f, &listen, &r.net)
	netflags.Health(f, &healthAt)
	return cmd
}

func printServing(ctx context.Context, e *env, c *agent.Controller, dir string) error {
	addrs, err := c.Addrs(ctx)
	if err != nil {
		return err
	}
	ready := struct {
		Event  string   `json:"event"`
		Peer   peer.ID  `json:"peer"`
		Addrs  []string `json:"addrs"`
		Socket string   `json:"socket"`
	}{"ready", c.Node.ID(), addrs, control.SocketPath(dir)}
	return e.Print(ready, func() error {
		e.Stdout.Printf("controller %s serves commands at %s\n", ready.Peer, ready.Socket)
		for _, addr := range addrs {
			e.Stdout.Println("  " + addr)
		}
		return nil
	})
}
