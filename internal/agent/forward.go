package agent

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/ops/forward"
	"github.com/seed-b490fa12/swarm/streams"
)

// Forwarding has connections to addresses of this machine carried to targets on another one.
type Forwarding struct {
	Machine string        `json:"machine"` // as in Selection.Names
	Routes  []Route       `json:"routes"`
	Timeout time.Duration `json:"timeoutMs"` // for the machine to say that it may be so
	// Again is set where it was so before: whether the machine is there now does not matter.
	Again bool `json:"again,omitzero"`
}

// Route is one address of this machine, and where its connections go.
type Route struct {
	Listen string `json:"listen"` // host:port; port 0 is a free one
	To     string `json:"to"`     // the target, see package target
}

// What a [ForwardEvent] is about, beside EventCut and EventBack.
const (
	EventListening ResultEvent = "listening" // connections to Route.Listen are taken
	EventRefused   ResultEvent = "refused"   // the machine does not do it, or is not there; the last event
	EventFailed    ResultEvent = "failed"    // one connection could not be carried
)

// ForwardEvent is what becomes of a [Forwarding]. Of EventCut and EventBack, which are about the
// controller that serves here, it has Why and Away only.
type ForwardEvent struct {
	Event  ResultEvent   `json:"event"`
	Target Target        `json:"target,omitzero"`
	Route  Route         `json:"route,omitzero"`
	Err    error         `json:"error,omitzero"`
	Why    string        `json:"why,omitzero"`
	Away   time.Duration `json:"awayMs,omitzero"`
}

// carryTo is [Controller.Forward].
func carryTo(ctx context.Context, c *Controller, f Forwarding, emit func(ForwardEvent) error) error {
	s := Selection{Names: []string{f.Machine}}
	targets, err := c.Resolve(ctx, s)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	x := &forwarding{Controller: c, t: targets[0], emit: emit, listening: make([]net.Listener, len(f.Routes))}
	defer x.close()
	if err := x.listen(f.Routes); err != nil {
		return err
	}
	if !f.Again {
		if err := x.mayBe(ctx, s, f); err != nil {
			return x.tell(ForwardEvent{Event: EventRefused, Err: err})
		}
	}
	for i, ln := range x.listening {
		r := Route{ln.Addr().String(), f.Routes[i].To}
		if err := x.tell(ForwardEvent{Event: EventListening, Route: r}); err != nil {
			return err
		}
		g.Go(func() error { return x.local(ctx, r).Serve(ctx, ln) })
	}
	return g.Wait()
}

// forwarding is a Forwarding that is being done.
type forwarding struct {
	*Controller
	t         Target
	listening []net.Listener

	mu   sync.Mutex
	emit func(ForwardEvent) error // guarded by mu
}

func (x *forwarding) listen(routes []Route) (err error) {
	for i, r := range routes {
		if x.listening[i], err = net.Listen("tcp", r.Listen); err != nil {
			return fmt.Errorf("listen on %s: %w", r.Listen, unwrapped(err))
		}
	}
	return nil
}

// unwrapped is the cause of an error of package net, which repeats the address.
func unwrapped(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return op.Err
	}
	return err
}

func (x *forwarding) close() {
	for _, ln := range x.listening {
		if ln != nil {
			ln.Close()
		}
	}
}

// mayBe asks the machine for all targets before anything is listened to.
func (x *forwarding) mayBe(ctx context.Context, s Selection, f Forwarding) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	if err := x.confirmed(ctx, s, x.t, f.Timeout); err != nil {
		return err
	}
	if twin, ok := x.Node.Twin(x.t.Peer); ok {
		return twins.Error(twin)
	}
	for _, r := range f.Routes {
		if _, err := forward.Check.Do(ctx, x.Node.Client, x.t.Peer, forward.Request{Target: r.To}); err != nil {
			return err
		}
	}
	x.t.Claimed = x.claimed(x.t)
	x.save(x.t.Peer)
	return nil
}

// local carries the connections of one route. That nobody hears of what fails ends all.
func (x *forwarding) local(ctx context.Context, r Route) forward.Local {
	return forward.Local{
		Dial: func(ctx context.Context) (*streams.Conn, error) {
			return forward.Open.Dial(ctx, x.Node.Client, x.t.Peer, forward.Request{Target: r.To})
		},
		Failed: func(err error) {
			if x.tell(ForwardEvent{Event: EventFailed, Route: r, Err: err}) != nil && ctx.Err() == nil {
				x.close()
			}
		},
	}
}

func (x *forwarding) tell(e ForwardEvent) error {
	if e.Target = x.t; e.Err != nil {
		e.Err = x.brief(x.t, e.Err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.emit(e)
}
