package refpow

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// Waiting times between two attempts to reach the pool; each attempt that fails doubles it.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Mine mines until ctx ends, which is its only way to return nil, and tells what it does on stdout,
// a line for each event. It comes back to a pool that is lost. Nothing it started is left when it
// returns.
func Mine(ctx context.Context, cfg Config, stdout io.Writer) error {
	pool, err := cfg.validate()
	if err != nil {
		return fmt.Errorf("refpow config: %w", err)
	}
	r := &rig{cfg: cfg, pool: pool, log: log.New(stdout, "refpow: ", 0)}
	r.dial = r.dialPool
	r.log.Printf("mining %s with %d threads at %s", Algorithm, max(1, cfg.Threads), pool)
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	for range max(1, cfg.Threads) {
		parts.Go(func() { r.hash(ctx) })
	}
	if cfg.Status != "" {
		err = r.writeStatus(nil)
		parts.Go(func() { r.keepStatus(ctx) })
	}
	if err == nil {
		r.keepConnected(ctx)
	}
	cancel()
	parts.Wait()
	return err
}

// rig is one running miner.
type rig struct {
	cfg  Config
	pool miner.Pool
	log  *log.Logger
	dial func(context.Context) (net.Conn, error)

	board              board
	hashes             atomic.Uint64
	accepted, rejected atomic.Int64
	skipped            atomic.Int64 // messages of pools that could not be read
	state              atomic.Value // miner.State as far as the pool knows; none at first
	reason             atomic.Value // string: why the state is no good one
}

// keepConnected goes from one session with the pool to the next.
func (r *rig) keepConnected(ctx context.Context) {
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		lasted, err := r.session(ctx)
		r.board.post(nil)
		if ctx.Err() != nil {
			r.log.Printf("stopped, %d shares accepted, %d rejected", r.accepted.Load(), r.rejected.Load())
			return
		}
		r.state.Store(miner.Degraded)
		r.reason.Store("no pool: " + plain(err))
		if lasted {
			wait = minBackoff
		}
		pause := wait/2 + rand.N(wait/2)
		r.log.Printf("no pool: %v; next attempt in %v", err, pause.Round(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
