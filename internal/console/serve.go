package console

import (
	"context"
	"errors"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
)

// Served returns the controller that serves on this machine. No other function dials it. The error
// is that of [control.Dial]. What it takes to learn that a controller does not answer counts as a
// part of the command's --timeout, see [Env.Within].
func (e *Env) Served(ctx context.Context) (*control.Remote, error) {
	dir, err := e.StateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	within := control.GreetWithin
	if e.timeout > 0 {
		within = min(within, e.timeout/2)
	}
	began := time.Now()
	c, err := control.Dial(ctx, dir, within)
	if err != nil {
		e.waited += time.Since(began)
	}
	return c, err
}

// Serving returns the controller that serves on this machine, if one does and answers. About one
// that does not answer it tells the person, as the command goes on without it.
func (e *Env) Serving(ctx context.Context) (*control.Remote, bool) {
	c, err := e.Served(ctx)
	if silent, ok := errors.AsType[*control.Unresponsive](err); ok {
		e.Stderr.Printf("swarm: %s; this command goes on without it\n", silent)
	}
	return c, err == nil
}

// Within is how much of the command's --timeout is left.
func (e *Env) Within(timeout time.Duration) time.Duration {
	return max(timeout-e.waited, timeout/2)
}
