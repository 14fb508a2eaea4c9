package streams_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// Calls, feeds and cancels run at once while streams are reset at random: what succeeds is the
// caller's own answer, whole, and an effect happens once for each call. It finds buffers that are
// used again too early.
func TestChaos(t *testing.T) {
	cfg := forMember()
	cfg.Limits.Effect = streams.Rate{PerSecond: 50, Burst: 1 << 20}
	p := newPipe(t, cfg)
	var effects, succeeded atomic.Int64
	noError(t, read.Handle(p.Mux, echoed),
		work.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text) (text, error) {
			effects.Add(1)
			return v, nil
		}),
		follow.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
			for range v.Size {
				if err := send(v); err != nil {
					return v, err
				}
			}
			return v, nil
		}))
	ctx, stop := context.WithCancel(t.Context())
	var storm sync.WaitGroup
	var ended atomic.Int64 // exchanges: the storm is no quicker than they are, on a busy machine either
	storm.Go(func() {
		last := int64(-1)
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			n := ended.Load()
			if n == last {
				continue
			}
			last = n
			if all := p.Conn.GetStreams(); len(all) > 0 {
				all[rand.IntN(len(all))].Reset()
			}
		}
	})

	var callers sync.WaitGroup
	var works atomic.Int64
	for i := range 16 {
		callers.Go(func() {
			for n := range 40 {
				want := text{Text: fmt.Sprint(i, " ", n, " ", strings.Repeat(string(rune('a'+i)), rand.IntN(80<<10))), Size: int64(n % 5)}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if n%10 == 9 { // some give up at some point
					time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
				}
				var got text
				var err error
				switch n % 3 {
				case 0:
					got, err = read.Do(ctx, p.Client, p.Server.ID(), want)
				case 1:
					works.Add(1)
					got, err = work.Do(ctx, p.Client, p.Server.ID(), want)
				case 2:
					for item, itemErr := range follow.Do(ctx, p.Client, p.Server.ID(), want) {
						if got, err = item, itemErr; err != nil {
							break
						}
						if item != want {
							t.Errorf("an item of %d bytes is another's", len(item.Text))
						}
					}
				}
				cancel()
				ended.Add(1)
				if err == nil {
					succeeded.Add(1)
					if got != want {
						t.Errorf("the answer of %d bytes is another's", len(got.Text))
					}
				} else if !errors.Is(err, streams.ErrUnreachable) && !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	callers.Wait()
	stop()
	storm.Wait()
	if n := effects.Load(); n > works.Load() {
		t.Errorf("%d effects of %d calls", n, works.Load())
	}
	if succeeded.Load() < 200 {
		t.Errorf("%d of 640 exchanges succeeded", succeeded.Load())
	}
	t.Logf("%d of 640 exchanges succeeded", succeeded.Load())
}
