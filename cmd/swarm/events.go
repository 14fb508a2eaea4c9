package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
)

func newEventsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:        "events",
		SuggestFor: []string{"event", "monitor"},
		Short:      "Show what happens to the machines, as it happens",
		Long: `Show what happens to the machines as it happens, as seen by the controller that serves here: a machine
connects, and by which path; moves to a better path; goes offline, and why; the fleet has new grants or
revocations; events were lost because they were read too slowly. The command runs until it is stopped.
When the controller that serves here ends, it waits a minute for the next one, and goes on with how it
stands with each machine by then. If none comes it ends with exit code 1.`,
		Example: "  swarm events\n  swarm events --json | jq 'select(.state == \"offline\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			remote, err := e.Served(cmd.Context())
			if err != nil {
				return fmt.Errorf("only the controller that serves knows what happens: %w", err)
			}
			defer remote.Close()
			return e.Following(cmd.Context(), func(ctx context.Context) error {
				return remote.Events(ctx, func(ev agent.Event) error { return printEvent(e, ev) })
			})
		},
	}
}

func printEvent(e *env, ev agent.Event) error {
	line := ev
	line.Why, line.Error = cmp.Or(ev.Why, ev.Error), "" // an error is an object everywhere
	return e.Print(line, func() error {
		_, err := e.Stdout.Printf("%s  %s\n", time.UnixMilli(ev.Time).Format(time.DateTime), eventText(ev))
		return err
	})
}

// eventText puts an event in words.
func eventText(e agent.Event) string {
	switch e.Event {
	case "fleet":
		return "the fleet has new grants or revocations"
	case string(agent.EventCut), string(agent.EventBack):
		return serveText(agent.ResultEvent(e.Event), time.Duration(e.AwaySeconds*float64(time.Second)))
	case "lost":
		return output.Count(int(e.Lost), "event was", "events were") + " lost here: they came faster than they were read"
	case "twin":
		return fmt.Sprintf("%s: %s", output.OrDash(cmp.Or(e.Name, e.Peer.String())), output.OneLine(e.Error))
	case "single":
		return output.OrDash(cmp.Or(e.Name, e.Peer.String())) + " is one machine again, as far as is known"
	}
	text := fmt.Sprintf("%s is %s", output.OrDash(cmp.Or(e.Name, e.Peer.String())), e.State)
	if e.Path != "" {
		text += fmt.Sprintf(" (%s, %s)", output.OrDash(results.PathText(e.Path, e.Relay)), output.OrDash(e.Addr))
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return text
}
