package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// errNobodyServes is for commands that only the long-lived controller can answer.
var errNobodyServes = errors.New("no controller serves on this machine, and only that knows; start it: swarm controller serve")

func (a *app) eventsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "events",
		Short: "Show what happens to the machines, as it happens",
		Long: `Show what happens to the machines, as the controller that serves here sees it: a machine
is connected, by which path; it moves to a better one; it is offline, and why; the fleet
has new grants or revocations; events were lost, because they were read too slowly. It goes
on until it is stopped, and ends with exit code 1 when the controller that serves does.`,
		Example: "  swarm events\n  swarm events --json | jq 'select(.state == \"offline\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			remote, ok := a.serving(cmd.Context())
			if !ok {
				return errNobodyServes
			}
			defer remote.Close()
			return remote.Events(cmd.Context(), a.printEvent)
		},
	}
}

func (a *app) printEvent(e agent.Event) error {
	return a.print(e, func() error {
		_, err := a.stdout.printf("%s  %s\n", time.UnixMilli(e.Time).Format(time.DateTime), eventText(e))
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
		return fmt.Sprintf("%s: %s", orDash(cmp.Or(e.Name, e.Peer.String())), oneLine(e.Error))
	case "single":
		return orDash(cmp.Or(e.Name, e.Peer.String())) + " is one machine again, as far as is known"
	}
	text := fmt.Sprintf("%s is %s", orDash(cmp.Or(e.Name, e.Peer.String())), e.State)
	if e.Path != "" {
		text += fmt.Sprintf(" (%s, %s)", orDash(pathText(e.Path, e.Relay)), orDash(e.Addr))
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return text
}
