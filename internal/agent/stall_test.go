package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// A connection that answers nothing is closed while an upload moves nothing, and no other one.
func TestStallWatch(t *testing.T) {
	tests := []struct {
		name   string
		moves  time.Duration // between two steps of the upload; 0 for none
		answer time.Duration // of the machine; 0 for none
		closed bool
	}{
		{"the way there is lost", 0, 0, true},
		{"the machine is busy with what it has", 0, 7 * time.Second, false},
		{"a slow link", 5 * time.Second, 0, false},
		{"a link that is slower yet", 12500 * time.Millisecond, 0, false},
		{"all is well", time.Second, time.Millisecond, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := streamtest.NewHost("laptop"), streamtest.NewHost("rig")
				defer b.Close()
				defer a.Close()
				conn := streamtest.Connect(a, b)
				ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
				defer cancel()
				var moved atomic.Int64
				var moving sync.WaitGroup
				defer moving.Wait()
				if tc.moves > 0 {
					moving.Go(func() {
						for ctx.Err() == nil {
							time.Sleep(tc.moves)
							moved.Add(1)
						}
					})
				}
				began := time.Now()
				var after time.Duration
				stallWatch{
					moved: moved.Load,
					conns: func() []network.Conn { return a.Network().ConnsToPeer("rig") },
					ask: func(ctx context.Context, _ network.Conn) error {
						if tc.answer > 0 {
							time.Sleep(tc.answer)
							return nil
						}
						<-ctx.Done()
						if context.Cause(ctx) == context.DeadlineExceeded {
							return streams.Errorf(streams.CodeTimeout, "no answer")
						}
						return ctx.Err()
					},
					dead: func(network.Conn) { after = time.Since(began) },
				}.run(ctx)
				if conn.IsClosed() != tc.closed || tc.closed && after != stallEvery+stallAnswer {
					t.Errorf("closed: %v, after %v", conn.IsClosed(), after)
				}
			})
		})
	}
}
