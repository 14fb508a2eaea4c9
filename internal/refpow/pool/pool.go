// Package pool is a small stratum v1 mining pool for SHA-256d on the loopback interface: for tests
// and for the demo, so that miners find real shares with no network and nobody's money.
//
//	p, err := pool.Listen(pool.Config{})
//	go p.Serve(ctx)
//	… start miners at p.URL() …
//	fmt.Println(p.Total().Accepted)
//
// Every share is checked by building its block header anew and hashing it: work that was not done,
// done before, or done for an old job is rejected with the reason.
package pool

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
)

const (
	// DefaultDifficulty means about two million hashes for a share: a second of one thread.
	DefaultDifficulty = 0.0005
	// DefaultJobEvery is the time between two jobs.
	DefaultJobEvery = 30 * time.Second
	// MaxConns is the most connections at a time; further ones are closed at once.
	MaxConns = 256
	// MaxWorkers is the most worker names the pool counts for.
	MaxWorkers = 1024
	// MaxShares is the most accepted shares of one job; then a new job is made.
	MaxShares = 1 << 16
)

// Config is the configuration of a pool. The zero value is useful.
type Config struct {
	Logger     *slog.Logger  // nil is silent
	Difficulty float64       // of a share, 0 for DefaultDifficulty; 1 is 2^32 hashes
	JobEvery   time.Duration // 0 for DefaultJobEvery
	Password   string        // what workers must say; empty takes any
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Difficulty == 0 {
		c.Difficulty = DefaultDifficulty
	}
	if c.JobEvery == 0 {
		c.JobEvery = DefaultJobEvery
	}
	return c
}

// Counts are the shares of a worker, or of all.
type Counts struct {
	Accepted int64
	Rejected int64
}

// Pool is a running pool. All its methods are safe for concurrent use.
type Pool struct {
	cfg      Config
	target   stratum.Target
	listener net.Listener

	mu      sync.Mutex
	job     stratum.Job         // guarded by mu: the one shares are taken for
	jobs    int                 // guarded by mu: number of jobs made
	seen    map[string]struct{} // guarded by mu: the shares accepted for job
	conns   map[*conn]struct{}  // guarded by mu
	joined  uint32              // guarded by mu: connections ever made, gives each its extranonce1
	workers map[string]Counts   // guarded by mu
}

// Listen opens a free port on 127.0.0.1. The pool works once Serve runs.
func Listen(cfg Config) (*Pool, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for miners: %w", err)
	}
	cfg = cfg.withDefaults()
	p := &Pool{
		cfg: cfg, target: stratum.TargetOf(cfg.Difficulty), listener: l,
		conns: make(map[*conn]struct{}), workers: make(map[string]Counts),
	}
	p.NewJob()
	return p, nil
}

// URL is the pool's address as miners want it.
func (p *Pool) URL() string { return "stratum+tcp://" + p.listener.Addr().String() }

// Close stops listening, which ends Serve. It may be called more than once.
func (p *Pool) Close() error {
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close pool: %w", err)
	}
	return nil
}

// Total is the sum over all workers.
func (p *Pool) Total() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum Counts
	for _, c := range p.workers {
		sum.Accepted += c.Accepted
		sum.Rejected += c.Rejected
	}
	return sum
}

// Workers is the count for each worker, by the name it authorized with.
func (p *Pool) Workers() map[string]Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.workers)
}

// Serve works until ctx ends or Close is called, and then returns nil. Nothing it started is left
// when it returns.
func (p *Pool) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	defer parts.Wait()
	defer p.disconnect()
	defer context.AfterFunc(ctx, func() { _ = p.Close() })()
	parts.Go(func() { p.makeJobs(ctx) })
	defer cancel() // runs before the waiting
	for {
		nc, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept miner: %w", err)
		}
		c := p.admit(nc)
		if c == nil {
			_ = nc.Close()
			continue
		}
		parts.Go(func() { p.serve(c) })
	}
}

// NewJob makes all work so far worthless and gives out new work.
func (p *Pool) NewJob() {
	p.mu.Lock()
	p.jobs++
	p.seen = make(map[string]struct{})
	p.job = newJob(p.jobs)
	conns := maps.Clone(p.conns)
	job := p.job
	p.mu.Unlock()
	for c := range conns {
		if c.ready.Load() {
			if err := c.Call(0, "mining.notify", job.Params()...); err != nil {
				_ = c.nc.Close() // half a line may be out
			}
		}
	}
}

// Drop closes all connections, as a pool does that restarts. Miners may come back at once.
func (p *Pool) Drop() { p.disconnect() }

func (p *Pool) makeJobs(ctx context.Context) {
	tick := time.NewTicker(p.cfg.JobEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.NewJob()
		}
	}
}

// newJob makes up a block: random, except for what makes it look like one.
func newJob(number int) stratum.Job {
	random := make([]byte, 2*32+40)
	_, _ = rand.Read(random) // never fails
	job := stratum.Job{
		ID: fmt.Sprintf("%x", number), Version: 0x20000000, Bits: 0x1d00ffff, Time: uint32(time.Now().Unix()), Clean: true,
		Coinbase1: random[64:84], Coinbase2: random[84:],
		Branches: make([]stratum.Hash, 1),
	}
	copy(job.PrevHash[:], random[:32])
	copy(job.Branches[0][:], random[32:64])
	return job
}

// admit gives a connection its place, nil when the pool is full.
func (p *Pool) admit(nc net.Conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) >= MaxConns {
		return nil
	}
	p.joined++
	c := &conn{Conn: stratum.NewConn(nc), nc: nc}
	c.extranonce1, _ = hex.DecodeString(stratum.Hex32(p.joined))
	p.conns[c] = struct{}{}
	return c
}

func (p *Pool) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.nc.Close()
	}
}
