// Package pingcli is the command that measures the way to machines.
package pingcli

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// New returns the command.
func New(e *console.Env) *cobra.Command {
	var (
		r connect.Reach
		s connect.Choice
		p = pinging{Env: e}
	)
	cmd := &cobra.Command{
		Use:   "ping [TARGET…]",
		Short: "Measure the way to machines, and their clocks",
		Long: `Measure the round trip to a machine, and how far its clock is ahead of this one. Anyone may ping; no
right is needed. Of several machines each is asked once, unless -c says more.`,
		Example: `  swarm ping rig-01
  swarm ping --on site=cabin
  swarm ping /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW… -c 10`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			c, err := r.Controller(e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			if err := s.Name(args); err != nil {
				return err
			}
			targets, err := c.Resolve(cmd.Context(), s.Selection)
			if err != nil {
				return err
			}
			if len(targets) > 1 && !cmd.Flags().Changed("count") {
				p.count = 1
			}
			for _, t := range targets {
				if err := p.one(cmd.Context(), c, t); err != nil {
					return err
				}
			}
			return p.judged(cmd.Context())
		},
	}
	r.Flags(cmd.Flags())
	s.Flags(cmd, cmd.Flags())
	cmd.Flags().IntVarP(&p.count, "count", "c", 4, "how many pings")
	span.Var(cmd.Flags(), &p.timeout, "timeout", 10*time.Second, "how long to wait for an answer; after so long without any it ends")
	span.Var(cmd.Flags(), &p.every, "interval", 500*time.Millisecond, "time between two pings")
	return cmd
}

// Line is an answer as a line of JSON.
type Line struct {
	Peer     peer.ID      `json:"peer"`
	Name     string       `json:"name,omitzero"`
	OK       bool         `json:"ok"`
	Seq      int          `json:"seq"`
	RTTMs    *float64     `json:"rttMs"` // null without an answer
	OffsetMs *int64       `json:"clockOffsetMs"`
	Addr     *string      `json:"addr"`
	Error    *lines.Error `json:"error,omitzero"`
}

// pinging is what the flags of ping say, and what has come of it.
type pinging struct {
	*console.Env
	count          int
	timeout, every time.Duration
	sum            agent.Summary
	told           string // the words of the last failure of a machine, which are not repeated
}

// judged says how many have answered, where that is not plain, and what that comes to.
func (p *pinging) judged(ctx context.Context) error {
	if p.sum.OK < p.sum.Total() && p.sum.Total() > 1 && ctx.Err() == nil {
		p.Stderr.Printf("swarm: %d of %s answered\n", p.sum.OK, output.Count(p.sum.Total(), "ping", "pings"))
	}
	return console.Judged(ctx, p.sum)
}

// one pings a machine.
func (p *pinging) one(ctx context.Context, c *agent.Controller, t agent.Target) error {
	until := time.Now().Add(p.timeout) // it ends when no answer has come for so long
	p.told = ""
	for i := range p.count {
		if !time.Now().Before(until) {
			break
		}
		if i > 0 {
			select {
			case <-time.After(p.every):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		pong, err := c.Ping(ctx, t, time.Until(until))
		p.sum.Add(err)
		if err == nil {
			until = time.Now().Add(p.timeout)
		}
		line := Line{Peer: t.Peer, Name: t.Display(), OK: err == nil, Seq: i + 1, Error: lines.NewError(err)}
		if err == nil {
			rtt, offset := float64(pong.RTT.Microseconds())/1000, pong.ClockOffset.Milliseconds()
			line.RTTMs, line.OffsetMs, line.Addr = &rtt, &offset, lines.Known(pong.Addr)
		}
		switch words := results.Words(err); {
		case err != nil && words == p.told && !p.JSON:
			continue
		case err != nil:
			p.told = words
		}
		if err := Print(p.Env, t, line, err); err != nil {
			return err
		}
	}
	return nil
}

// Print prints an answer, or why there is none.
func Print(e *console.Env, t agent.Target, l Line, pingErr error) error {
	if e.JSON {
		return e.PrintJSON(l)
	}
	if pingErr != nil {
		results.New(e, nil, true).Fault(t.Label(), pingErr)
		return nil
	}
	_, err := e.Stdout.Printf("%s at %s: %.2f ms, clock %+d ms\n", t.Label(), output.Text(l.Addr), *l.RTTMs, *l.OffsetMs)
	return err
}
