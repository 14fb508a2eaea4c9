package main

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

func newWatchCommand(e *env) *cobra.Command {
	var (
		r reach
		s selection
	)
	cmd := &cobra.Command{
		Use:   "watch [TARGET…]",
		Short: "Print the stats that machines push, as they arrive",
		Long: `Print the stats that machines push, as they arrive, until interrupted. Without a TARGET: of all saved
machines, including those that other commands save meanwhile.

With --json there is a line for each message:
{"peer":"…","name":"…","type":"stats","payload":{…},"timestamp":"…"}.`,
		Example: `  swarm controller watch
  swarm controller watch rig-01 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Names = args
			s.All = len(args) == 0 && s.On == "" && s.Best == 0
			return watch(cmd.Context(), e, r, s.Selection)
		},
	}
	r.flags(cmd.Flags())
	s.flags(cmd, cmd.Flags())
	return cmd
}

// pushedLine is a pushed message as a line of JSON.
type pushedLine struct {
	Peer      peer.ID      `json:"peer"`
	Name      string       `json:"name"`
	Type      streams.Type `json:"type"`
	Payload   ops.Stats    `json:"payload"`
	Timestamp time.Time    `json:"timestamp"`
}

func watch(ctx context.Context, e *env, r reach, s agent.Selection) (err error) {
	c, err := r.commander(ctx, e, agent.NewWatch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	pushed, err := c.Watch(ctx, s)
	if err != nil {
		return err
	}
	table := newResults(e, opGetStats(), false)
	for p, err := range pushed {
		if err != nil {
			return err
		}
		if !e.JSON {
			showStats(table, p.Target, p.Stats)
			continue
		}
		if err := e.PrintJSON(pushedLine{p.Target.Peer, p.Target.Display(), agent.StatsTopic.Type, p.Stats, p.Timestamp}); err != nil {
			return err
		}
	}
	return nil
}
