package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// errNobodyServes is for commands that only the long-lived controller can answer.
var errNobodyServes = errors.New("no controller serves on this machine, and only that knows; start it: swarm " +
	"controller serve")

func newEventsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "events",
		Short: "Show what happens to the machines, as it happens",
		Long: `Show what happens to the machines as it happens, as seen by the controller that serves here: a machine
connects, and by which path; moves to a better path; goes offline, and why; the fleet has new grants or
revocations; events were lost because they were read too slowly. The command runs until it is stopped,
and ends with exit code 1 when the controller that serves here ends.`,
		Example: "  swarm events\n  swarm events --json | jq 'select(.state == \"offline\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			remote, ok := e.serving(cmd.Context())
			if !ok {
				return errNobodyServes
			}
			defer remote.Close()
			return remote.Events(cmd.Context(), func(ev agent.Event) error { return printEvent(e, ev) })
		},
	}
}

func printEvent(e *env, ev agent.Event) error {
	return e.Print(ev, func() error {
		_, err := e.Stdout.Printf("%s  %s\n", time.UnixMilli(ev.Time).Format(time.DateTime), eventText(ev))
		return err
	})
}

// eventText puts an event in words.
func eventText(e agent.Event) string {
	switch e.Event {
	case "fleet":
		return "the fleet has new grants or revocations"
	case "lost":
		return fmt.Sprintf("%d events were lost here: they came faster than they were read", e.Lost)
	case "twin":
		return fmt.Sprintf("%s: %s", output.OrDash(cmp.Or(e.Name, e.Peer.String())), output.OneLine(e.Error))
	case "single":
		return output.OrDash(cmp.Or(e.Name, e.Peer.String())) + " is one machine again, as far as is known"
	}
	text := fmt.Sprintf("%s is %s", output.OrDash(cmp.Or(e.Name, e.Peer.String())), e.State)
	if e.Path != "" {
		text += fmt.Sprintf(" (%s, %s)", output.OrDash(pathText(e.Path, e.Relay)), output.OrDash(e.Addr))
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return text
}
