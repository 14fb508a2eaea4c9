// Package control is the socket of the long-lived controller: commands on the same machine go
// through it, over connections that are open already.
//
// A [Commander] does what commands ask for: an *agent.Controller by itself, or a [Remote] through
// the socket, which a [Server] listens on. Each verb of the socket is declared once, as an endpoint
// with the types of its request and of the lines that answer it; those are the types of package
// agent.
package control

import (
	"context"
	"iter"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// Commander does what commands ask for.
type Commander interface {
	// Exec does a job on the selected machines, and hands over each result as it arrives, one at a
	// time.
	Exec(ctx context.Context, j agent.Job, s agent.Selection, emit func(agent.Result)) (agent.Summary, error)
	// Watch yields the stats that the selected machines push, until ctx ends.
	Watch(ctx context.Context, s agent.Selection) (iter.Seq2[agent.Pushed, error], error)
	// Deliver takes what is new of the fleet to its members, and reports each as it goes.
	Deliver(ctx context.Context, n agent.News, emit func(agent.Delivery)) error
	// Peers returns all machines. Those that are not connected are dialled first, for as long as
	// try.
	Peers(ctx context.Context, try time.Duration) ([]agent.PeerLine, error)
	// Forward carries connections of this machine to another one until ctx ends, and reports what becomes
	// of it, one event at a time.
	Forward(ctx context.Context, f agent.Forwarding, emit func(agent.ForwardEvent) error) error
	// Copy copies between this machine and another one, and reports what becomes of it, one event at a time.
	Copy(ctx context.Context, y agent.Copy, emit func(agent.CopyEvent) error) error
	// Events reports what happens from now on, until ctx ends or emit fails.
	Events(ctx context.Context, emit func(agent.Event) error) error
	// Self returns what the controller finds about its own machine.
	Self(ctx context.Context) (agent.Self, error)
	// Addrs returns where tickets can be redeemed, each address with its peer ID.
	Addrs(ctx context.Context) ([]string, error)
	Close() error
}

var (
	_ Commander = (*agent.Controller)(nil)
	_ Commander = (*Remote)(nil)
)
