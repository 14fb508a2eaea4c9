package agent

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// stallEvery is how often an upload is looked at, and so how long it moves nothing before its
	// connections are asked.
	stallEvery = 6 * time.Second
	// stallAnswer is how long the answer may take.
	stallAnswer = 8 * time.Second
)

// stallWatch closes the connections with a machine on which an upload is stuck, so that it goes on
// over the next one. That bytes arrive does not show that ours do: when the default route moves, a
// NAT at the other end may drop what comes from the new address, while the old one still receives.
type stallWatch struct {
	moved func() int64 // grows with the upload
	conns func() []network.Conn
	ask   func(context.Context, network.Conn) error
	dead  func(network.Conn) // is told of each that is closed
}

// run watches until ctx ends.
func (w stallWatch) run(ctx context.Context) {
	tick := time.NewTicker(stallEvery)
	defer tick.Stop()
	for last := w.moved(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.moved()
		if now == last {
			w.closeSilent(ctx, now)
		}
		last = now
	}
}

// closeSilent asks over all connections, and closes those without an answer if still nothing moves.
func (w stallWatch) closeSilent(upload context.Context, at int64) {
	ctx, cancel := context.WithTimeout(upload, stallAnswer)
	defer cancel()
	var asked sync.WaitGroup
	for _, c := range w.conns() {
		asked.Go(func() {
			err := w.ask(ctx, c)
			if streams.CodeOf(err) != streams.CodeTimeout || w.moved() != at || upload.Err() != nil {
				return
			}
			w.dead(c)
			c.CloseWithError(greet.DisconnectNetworkError.ConnCode())
		})
	}
	asked.Wait()
}
