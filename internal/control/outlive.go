package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// comesBackWithin is for how long a command waits for another controller when the one that it listens
// to has ended: an upgrade, or a restart by a supervisor, takes less.
const comesBackWithin = time.Minute

// outlive does what attempt does with the controller that serves here, and when that ends, with the
// next one. cut is told before, and says whether it can go on at all.
func (r *Remote) outlive(ctx context.Context, attempt func(*Remote) error, cut func(why error) bool) error {
	for {
		err := attempt(r)
		if !errors.Is(err, ErrServeEnded) || ctx.Err() != nil || !cut(err) {
			return err
		}
		next, err := r.successor(ctx)
		if err != nil {
			return err
		}
		defer next.Close() // at the end, as there are few
		next.patience = r.patience
		r = next
	}
}

// successor waits for another controller to serve.
func (r *Remote) successor(ctx context.Context) (*Remote, error) {
	within, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	pauses := backoff.Backoff{First: 20 * time.Millisecond, Most: 500 * time.Millisecond, Jitter: 0.5}
	for {
		if next, err := dial(within, r.path, GreetWithin); err == nil {
			return next, nil
		}
		if !backoff.Wait(within, pauses.Next()) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w, and none has followed within %v", ErrServeEnded, r.patience)
}

// Watch is that of [Commander]. It goes on with the next controller when the one that serves ends.
func (r *Remote) Watch(ctx context.Context, s agent.Selection) (iter.Seq2[agent.Pushed, error], error) {
	first, err := watchVerb.ask(ctx, r, s)
	if err != nil {
		return nil, err
	}
	return func(yield func(agent.Pushed, error) bool) {
		var since time.Time // of the cut
		goes := true        // the reader wants more
		attempt := func(r *Remote) (err error) {
			lines := first
			if first = nil; lines == nil {
				if lines, err = watchVerb.ask(ctx, r, s); err != nil {
					return ended(ctx, err)
				}
				if goes = yield(agent.Pushed{Event: agent.EventBack, Away: time.Since(since)}, nil); !goes {
					return nil
				}
			}
			for p, err := range lines {
				if err != nil || ctx.Err() != nil {
					return err
				}
				if goes = yield(p, nil); !goes {
					return nil
				}
			}
			return ErrServeEnded
		}
		err := r.outlive(ctx, attempt, func(why error) bool {
			since = time.Now()
			goes = yield(agent.Pushed{Event: agent.EventCut, Why: why.Error()}, nil)
			return goes
		})
		if err != nil && goes && ctx.Err() == nil {
			yield(agent.Pushed{}, err)
		}
	}, nil
}

// Events is that of [Commander]. It goes on with the next controller when the one that serves ends,
// first with how it stands with each machine by then: what happened between is not known.
func (r *Remote) Events(ctx context.Context, emit func(agent.Event) error) error {
	var (
		since  time.Time // of the cut
		failed error     // of emit
	)
	err := r.outlive(ctx, func(r *Remote) error {
		lines, err := eventsVerb.ask(ctx, r, eventsRequest{SoFar: !since.IsZero()})
		if err != nil && since.IsZero() {
			return err
		}
		if err != nil {
			return ended(ctx, err)
		}
		if !since.IsZero() {
			away := time.Since(since).Seconds()
			if err := emit(agent.Event{Time: time.Now().UnixMilli(), Event: string(agent.EventBack), AwaySeconds: away}); err != nil {
				return err
			}
		}
		for e, err := range lines {
			if err == nil && ctx.Err() == nil {
				err = emit(e)
			}
			if err != nil || ctx.Err() != nil {
				return err
			}
		}
		return ErrServeEnded
	}, func(why error) bool {
		since = time.Now()
		failed = emit(agent.Event{Time: since.UnixMilli(), Event: string(agent.EventCut), Why: why.Error()})
		return failed == nil
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case failed != nil:
		return failed
	}
	return err
}

// Forward is that of [Commander]. It goes on with the next controller when the one that serves ends, with
// the same ports.
func (r *Remote) Forward(ctx context.Context, f agent.Forwarding, emit func(agent.ForwardEvent) error) error {
	f.Routes = slices.Clone(f.Routes)
	var since time.Time // of the cut
	err := r.outlive(ctx, func(r *Remote) error {
		lines, err := forwardVerb.ask(ctx, r, f)
		if err != nil && f.Again {
			return ended(ctx, err)
		}
		if err != nil {
			return err
		}
		n := 0 // of the routes that are listened to
		for e, err := range lines {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case e.Event == agent.EventRefused:
				return emit(e)
			case e.Event == agent.EventListening && n < len(f.Routes):
				f.Routes[n] = e.Route // with the port that was free
				n++
			}
			if e.Event == agent.EventListening && f.Again {
				if n < len(f.Routes) {
					continue
				}
				e = agent.ForwardEvent{Event: agent.EventBack, Away: time.Since(since)}
			}
			if err := emit(e); err != nil {
				return err
			}
		}
		return ErrServeEnded
	}, func(why error) bool {
		f.Again, since = true, time.Now()
		return emit(agent.ForwardEvent{Event: agent.EventCut, Why: why.Error()}) == nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Copy is that of [Commander]. It goes on with the next controller when the one that serves ends: what is
// there by then is found by its hash.
func (r *Remote) Copy(ctx context.Context, y agent.Copy, emit func(agent.CopyEvent) error) error {
	var (
		since time.Time // of the cut
		again agent.CopiedBefore
	)
	err := r.outlive(ctx, func(r *Remote) error {
		lines, err := copyVerb.ask(ctx, r, again.Rest(y))
		if err != nil && !since.IsZero() {
			return ended(ctx, err)
		}
		if err != nil {
			return err
		}
		for e, err := range lines {
			if err != nil || ctx.Err() != nil {
				return cmp.Or(err, ctx.Err())
			}
			if e.Event == agent.EventBegin && !since.IsZero() {
				e = agent.CopyEvent{Event: agent.EventBack, Away: time.Since(since)}
			}
			if !again.Add(&e) {
				continue
			}
			if err := emit(e); err != nil || e.Event == agent.EventCopied {
				return err
			}
		}
		return ErrServeEnded
	}, func(why error) bool {
		since = time.Now()
		return emit(agent.CopyEvent{Event: agent.EventCut, Why: why.Error()}) == nil
	})
	return cmp.Or(ctx.Err(), err)
}

// ended is the error of a question that the controller did not live to answer, or another one.
func ended(ctx context.Context, err error) error {
	if _, silent := errors.AsType[*Unresponsive](err); silent || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrServeEnded, err)
}
