package deploy

import (
	"context"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// turns let one deployment of each name be done at a time. What they guard are the directories of
// the names.
type turns struct {
	mu    sync.Mutex // guards what follows
	taken map[string]*turn
	// last is the answer to the last deployment of each name, for one who did not get it.
	last map[string]answer
}

// turn is the deployment of a name that is under way.
type turn struct {
	by     sender
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// sender is who deploys, and for which deployment of it; empty for one that does not go on.
type sender struct {
	peer     peer.ID
	transfer string
}

type answer struct {
	to  sender
	ack Ack
}

// errTakenOver ends an upload that another one of the same deployment takes the place of.
var errTakenOver = streams.Errorf(streams.CodeConflict, "this deployment goes on by another upload")

// begin waits for the turn of a name where the same deployment has it, which it ends, and refuses
// any other one. ctx ends with the turn; end must be called.
func (t *turns) begin(ctx context.Context, name string, by sender) (_ context.Context, end func(), err error) {
	for {
		mine := &turn{by: by, cancel: func(error) {}, done: make(chan struct{})}
		t.mu.Lock()
		other := t.taken[name]
		if other == nil {
			if by.transfer != "" {
				ctx, mine.cancel = context.WithCancelCause(ctx)
			}
			if t.taken == nil {
				t.taken, t.last = make(map[string]*turn), make(map[string]answer)
			}
			t.taken[name] = mine
			t.mu.Unlock()
			return ctx, func() { t.end(name, mine) }, nil
		}
		t.mu.Unlock()
		if by.transfer == "" || other.by != by {
			return nil, nil, streams.Errorf(streams.CodeConflict, "another deployment of %s is under way; wait for it", name)
		}
		other.cancel(errTakenOver)
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("wait for the upload before: %w", context.Cause(ctx))
		}
	}
}

func (t *turns) end(name string, mine *turn) {
	t.mu.Lock()
	delete(t.taken, name)
	t.mu.Unlock()
	mine.cancel(nil)
	close(mine.done)
}

// underWay reports whether somebody has the turn of a name.
func (t *turns) underWay(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken[name] != nil
}

// answered returns the answer to a deployment that was done before.
func (t *turns) answered(name string, by sender) (Ack, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.last[name]
	return a.ack, by.transfer != "" && a.to == by
}

// answer remembers the answer to a deployment.
func (t *turns) answer(name string, by sender, ack Ack) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last[name] = answer{by, ack}
}
