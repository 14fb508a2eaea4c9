package forwardcli

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/results"
)

// quietFor is for how long the same words are not said again: a page that does not load makes many
// connections.
const quietFor = 10 * time.Second

// View shows what becomes of a forwarding.
type View struct {
	*console.Env

	refused error // why the machine does not do it
	done    bool
	told    string // what was said last of a connection that failed
	when    time.Time
}

// Line is an event as a line of JSON.
type Line struct {
	Event       agent.ResultEvent `json:"event"`
	Peer        peer.ID           `json:"peer,omitzero"`
	Name        string            `json:"name,omitzero"`
	Listen      string            `json:"listen,omitzero"`
	Target      string            `json:"target,omitzero"`
	OK          *bool             `json:"ok,omitzero"` // false where there is an error
	Error       *lines.Error      `json:"error,omitzero"`
	Why         string            `json:"why,omitzero"`
	AwaySeconds float64           `json:"awaySeconds,omitzero"`
}

// Show shows one event.
func (v *View) Show(e agent.ForwardEvent) error {
	if e.Event == agent.EventRefused {
		v.done, v.refused = true, e.Err
		results.New(v.Env, nil, true).Show(agent.Result{Target: e.Target, Err: e.Err, Done: true})
		return nil
	}
	line := Line{
		Event: e.Event, Peer: e.Target.Peer, Name: e.Target.Display(), Listen: e.Route.Listen, Target: e.Route.To,
		Error: lines.NewError(e.Err), Why: e.Why, AwaySeconds: e.Away.Seconds(),
	}
	if e.Err != nil {
		line.OK = new(bool)
	}
	return v.Print(line, func() error { return v.text(e) })
}

func (v *View) text(e agent.ForwardEvent) error {
	switch e.Event {
	case agent.EventListening:
		_, err := v.Stdout.Printf("%s goes to %s on %s\n", e.Route.Listen, e.Route.To, e.Target.Label())
		return err
	case agent.EventFailed:
		words := fmt.Sprintf("%s, for %s: %s", e.Target.Label(), e.Route.Listen, results.Words(e.Err))
		if words == v.told && time.Since(v.when) < quietFor {
			return nil
		}
		v.told, v.when = words, time.Now()
		_, err := v.Stderr.Printf("swarm: %s\n", words)
		return err
	case agent.EventCut:
		_, err := v.Stderr.Printf("swarm: the controller that serves here has ended, going on as soon as one serves again\n")
		return err
	}
	_, err := v.Stderr.Printf("swarm: a controller serves again, after %v\n", max(e.Away.Round(100*time.Millisecond), 100*time.Millisecond))
	return err
}

// Outcome is what the exit code is to be, where the machine was asked and does not do it.
func (v *View) Outcome(ctx context.Context) error {
	if !v.done {
		return nil
	}
	var sum agent.Summary
	sum.Add(v.refused)
	return console.Judged(ctx, sum)
}
