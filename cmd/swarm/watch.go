package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

func newWatchCommand(e *env) *cobra.Command {
	var (
		r connect.Reach
		s connect.Choice
	)
	cmd := &cobra.Command{
		Use:   "watch [TARGET…]",
		Short: "Print the stats that machines push, as they arrive",
		Long: `Print the stats that machines push, as they arrive, until interrupted. Without a TARGET: of all saved
machines, including those that other commands save meanwhile.

With --json there is a line for each message:
{"peer":"…","name":"…","type":"stats","payload":{…},"timestamp":"…"}. When the controller that serves here
ends, the command waits a minute for the next one and goes on with it; then there are the lines
{"event":"cut","why":"…"} and {"event":"back","awaySeconds":6.1}.`,
		Example: `  swarm controller watch
  swarm controller watch rig-01 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Names = args
			s.All = len(args) == 0 && s.On == "" && s.Best == 0
			return e.Following(cmd.Context(), func(ctx context.Context) error { return watch(ctx, e, r, s.Selection) })
		},
	}
	r.Flags(cmd.Flags())
	s.Flags(cmd, cmd.Flags())
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

func watch(ctx context.Context, e *env, r connect.Reach, s agent.Selection) (err error) {
	c, err := r.Watcher(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	pushed, err := c.Watch(ctx, s)
	if err != nil {
		return err
	}
	table := results.New(e, show(showStats), false)
	for p, err := range pushed {
		if err != nil {
			return err
		}
		if p.Event != "" {
			if err := interrupted(e, agent.Result{Event: p.Event, Why: p.Why, Away: p.Away}); err != nil {
				return err
			}
			continue
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

// interrupted shows that the controller that serves here has ended, or that another one does.
func interrupted(e *env, res agent.Result) error {
	return e.Print(res.EventLine(), func() error {
		_, err := e.Stderr.Printf("swarm: %s\n", serveText(res.Event, res.Away))
		return err
	})
}

// serveText puts an event of the controller that serves in words.
func serveText(event agent.ResultEvent, away time.Duration) string {
	if event == agent.EventCut {
		return "the controller that serves here has ended, going on as soon as one serves again"
	}
	return fmt.Sprintf("a controller serves again, after %v", max(away.Round(100*time.Millisecond), 100*time.Millisecond))
}

const statsFormat = "%-24.24s %8s %5s %5s %6s  %-12.12s %-10s %12s %9s %.60s\n"

// showStats prints the stats of one machine, as they arrive.
func showStats(r *results.Printer, t agent.Target, s ops.Stats) {
	r.Head(statsFormat, "MACHINE", "UP", "CPU", "MEM", "LOAD", "WORKLOAD", "STATE", "HASH RATE", "SHARES", "POOL")
	h := s.Host
	row := []any{t.Label(), output.Seconds(s.UptimeSeconds), output.Percent(h.CPUPercent), output.Share(h.MemUsed, h.MemTotal), output.Optional("%.2f", h.Load1)}
	if len(s.Workloads) == 0 {
		r.Stdout.Printf(statsFormat, append(row, output.Unknown, "", "", "", "")...)
	}
	for _, w := range s.Workloads {
		r.Stdout.Printf(statsFormat, append(row, w.Name, string(w.State), output.HashRate(w.HashRate),
			output.Number(w.SharesAccepted)+"/"+output.Number(w.SharesRejected), results.PoolAndReason(w))...)
		row = []any{"", "", "", "", ""}
	}
}
