package main

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

func newPingCommand(e *env) *cobra.Command {
	var (
		r       reach
		count   int
		timeout time.Duration
		every   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "ping TARGET",
		Short: "Measure the way to a machine, and its clock",
		Long: `Measure the round trip to a machine, and how far its clock is ahead of this one. Anyone may ping; no
right is needed.`,
		Example: `  swarm ping rig-01
  swarm ping /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… -c 10`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			c, err := r.controller(e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			return ping(cmd.Context(), e, c, args[0], count, timeout, every)
		},
	}
	r.flags(cmd.Flags())
	cmd.Flags().IntVarP(&count, "count", "c", 4, "how many pings")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for an answer")
	cmd.Flags().DurationVar(&every, "interval", 500*time.Millisecond, "time between two pings")
	return cmd
}

// pingLine is an answer as a line of JSON.
type pingLine struct {
	Peer     peer.ID    `json:"peer"`
	Name     string     `json:"name,omitzero"`
	OK       bool       `json:"ok"`
	Seq      int        `json:"seq"`
	RTTMs    float64    `json:"rttMs,omitzero"`
	OffsetMs int64      `json:"clockOffsetMs"`
	Addr     string     `json:"addr,omitzero"`
	Error    *errorLine `json:"error,omitzero"`
}

func ping(ctx context.Context, e *env, c *agent.Controller, word string, count int, timeout, every time.Duration) error {
	t, err := c.Find(word)
	if err != nil {
		return err
	}
	var sum agent.Summary
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		p, err := c.Ping(ctx, t, timeout)
		sum.Add(err)
		line := pingLine{Peer: t.Peer, Name: t.Display(), OK: err == nil, Seq: i + 1, Error: newErrorLine(err)}
		if err == nil {
			line.RTTMs, line.OffsetMs, line.Addr = float64(p.RTT.Microseconds())/1000, p.ClockOffset.Milliseconds(), p.Addr
		}
		if err := printPing(e, t, line, err); err != nil {
			return err
		}
	}
	return outcome(ctx, e, sum)
}

func printPing(e *env, t agent.Target, l pingLine, pingErr error) error {
	if e.JSON {
		return e.PrintJSON(l)
	}
	if pingErr != nil {
		_, err := e.Stderr.Printf("swarm: %s: %s\n", t.Label(), words(pingErr))
		return err
	}
	_, err := e.Stdout.Printf("%s at %s: %.2f ms, clock %+d ms\n", t.Label(), l.Addr, l.RTTMs, l.OffsetMs)
	return err
}
