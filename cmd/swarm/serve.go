package main

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/internal/reload"
)

func newServeCommand(e *env) *cobra.Command {
	var s serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the long-lived controller of this machine",
		Long: `Run the long-lived controller: it stays connected with all saved machines, so commands are answered at
once. Commands of this user on this machine that use the same state directory go through it
automatically. At SIGHUP it reads the configuration file again: --log-level changes while it runs.`,
		Example: `  swarm controller serve
  swarm controller serve --listen /ip4/0.0.0.0/tcp/4748`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			defer process.OutliveReader()()
			dir, err := e.StateDir(agent.RoleController)
			if err != nil {
				return err
			}
			h, err := health.Start(s.health)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.Close()) }()
			cfg, err := s.reach.Config(dir, e.Log)
			if err != nil {
				return err
			}
			cfg.Listen = s.listen
			c, err := agent.NewServe(cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			end := func() error { return nil }
			defer func() { err = errors.Join(err, end()) }()
			ctx, stop := onHangup(cmd, e, reload.Node{Fresh: func(f *pflag.FlagSet) map[string]func() error {
				var fresh serveFlags
				fresh.declare(f)
				return e.FreshFlags(f)
			}})
			defer stop()
			return control.NewServer(c).Serve(ctx, control.SocketPath(dir), func() error {
				// By now the socket has told of another one that serves, and how that stands.
				release, err := take(dir, agent.RoleController)
				if err != nil {
					return err
				}
				end = release
				h.Ready(ctx)
				return printServing(ctx, e, c, dir)
			})
		},
	}
	s.declare(cmd.Flags())
	return cmd
}

// serveFlags are what the flags of serve say.
type serveFlags struct {
	reach  connect.Reach
	listen []string
	health string
}

func (s *serveFlags) declare(f *pflag.FlagSet) {
	s.reach.Flags(f)
	netflags.Listen(f, &s.listen, &s.reach.Net)
	netflags.Health(f, &s.health)
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
