package control

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// ErrServeEnded comes when the long-lived controller ends while it is listened to.
var ErrServeEnded = errors.New("the controller that serves here has ended; start it again: swarm controller serve")

// Remote is the long-lived controller of this machine, asked through its socket.
type Remote struct{ http *http.Client }

// Dial returns the long-lived controller of a state directory, or false when none serves there.
func Dial(ctx context.Context, stateDir string) (*Remote, bool) {
	path := SocketPath(stateDir)
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	conn.Close()
	return &Remote{dialSocket(path)}, true
}

// Close frees the connection.
func (r *Remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// Exec is that of [Commander].
func (r *Remote) Exec(
	ctx context.Context, j agent.Job, s agent.Selection, emit func(agent.Result),
) (sum agent.Summary, err error) {
	lines, err := execVerb.ask(ctx, r.http, requestOf(j, s))
	if err != nil {
		return sum, err
	}
	for l, err := range lines {
		switch {
		case err != nil:
			return sum, err
		case l.Summary != nil:
			return *l.Summary, nil
		case l.Progress != nil && j.Progress != nil:
			j.Progress(l.Progress.Target, l.Progress.Sent, l.Progress.Total)
		case l.Result != nil:
			emit(*l.Result)
		}
	}
	if err := ctx.Err(); err != nil {
		return sum, err
	}
	return sum, errors.New("the controller that serves here went away in the middle")
}

// Watch is that of [Commander]. That the other end ends before ctx is an error.
func (r *Remote) Watch(ctx context.Context, s agent.Selection) (iter.Seq2[agent.Pushed, error], error) {
	lines, err := watchVerb.ask(ctx, r.http, s)
	if err != nil {
		return nil, err
	}
	return func(yield func(agent.Pushed, error) bool) {
		for p, err := range lines {
			if ctx.Err() != nil || !yield(p, err) || err != nil {
				return
			}
		}
		if ctx.Err() == nil {
			yield(agent.Pushed{}, ErrServeEnded)
		}
	}, nil
}

// Deliver is that of [Commander].
func (r *Remote) Deliver(ctx context.Context, n agent.News, emit func(agent.Delivery)) error {
	lines, err := deliverVerb.ask(ctx, r.http, n)
	if err != nil {
		return err
	}
	for d, err := range lines {
		if err != nil {
			return err
		}
		emit(d)
	}
	return ctx.Err()
}

// Peers is that of [Commander].
func (r *Remote) Peers(ctx context.Context, try time.Duration) (out []agent.PeerLine, err error) {
	lines, err := peersVerb.ask(ctx, r.http, peersRequest{try})
	if err != nil {
		return nil, err
	}
	for l, err := range lines {
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
	return out, ctx.Err()
}

// Events is that of [Commander]. That the other end ends before ctx is an error.
func (r *Remote) Events(ctx context.Context, emit func(agent.Event) error) error {
	lines, err := eventsVerb.ask(ctx, r.http, struct{}{})
	if err != nil {
		return err
	}
	for e, err := range lines {
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = emit(e)
		}
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return ErrServeEnded
}

// Self is that of [Commander].
func (r *Remote) Self(ctx context.Context) (agent.Self, error) {
	return selfVerb.one(ctx, r.http, struct{}{})
}

// Addrs is that of [Commander].
func (r *Remote) Addrs(ctx context.Context) ([]string, error) {
	return addrsVerb.one(ctx, r.http, struct{}{})
}
