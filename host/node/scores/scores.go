// Package scores keeps what a node thinks of its peers: it turns the outcomes of exchanges into
// scores, blames nobody for a link of our own that is down, and saves them.
package scores

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	file      = "scores.json"
	saveEvery = 5 * time.Minute
)

// Config is what a Keeper works with.
type Config struct {
	StateDir string // where the scores are saved; empty for nowhere
	MaxPeers int    // for how many peers scores are kept
	// Tagger gets each change; it is a connection manager.
	Tagger scoring.Tagger
	// Outside reports whether a peer is reached beyond this machine's own networks.
	Outside func(peer.ID) bool
	Logger  *slog.Logger
}

// Keeper turns the outcomes of exchanges into scores, and saves them.
type Keeper struct {
	*scoring.Book
	path    string
	outside func(peer.ID) bool
	log     *slog.Logger
	links   links
}

// New opens the saved scores.
func New(cfg Config) *Keeper {
	k := &Keeper{
		Book:    scoring.New(scoring.Config{MaxPeers: cfg.MaxPeers, Tagger: cfg.Tagger}),
		outside: cfg.Outside,
		log:     cfg.Logger,
	}
	if cfg.StateDir == "" {
		return k
	}
	k.path = filepath.Join(cfg.StateDir, file)
	if err := k.Load(k.path); err != nil {
		aside := ""
		if errors.Is(err, scoring.ErrDamaged) {
			aside, _ = durable.SetAside(k.path)
		}
		k.log.Warn("scores begin anew", "err", err, "file", aside)
	}
	return k
}

// Run saves the scores now and then, and at the end, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	if k.path == "" {
		return nil
	}
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if k.Len() == 0 {
			continue
		}
		if err := k.Save(k.path); err != nil {
			k.log.Warn("scores could not be saved", "err", err)
		}
	}
	return nil
}

// linkFresh is how long an answer proves that our own link works.
const linkFresh = 30 * time.Second

// links is when peers last answered, in our own networks and beyond. Where none answers, our own
// link may be down, and no peer is to blame.
type links struct {
	mu       sync.Mutex // guards answered
	answered map[bool]answer
}

type answer struct {
	peer peer.ID
	at   time.Time
}

// fresh reports whether p was the one to answer a moment ago.
func (l *links) fresh(p peer.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.answered {
		if a.peer == p && time.Since(a.at) < time.Second {
			return true
		}
	}
	return false
}

// heard notes that a peer has answered.
func (k *Keeper) heard(p peer.ID) {
	if k.links.fresh(p) {
		return // the usual case, and a cheap one
	}
	side := k.outside(p)
	k.links.mu.Lock()
	defer k.links.mu.Unlock()
	if k.links.answered == nil {
		k.links.answered = make(map[bool]answer)
	}
	k.links.answered[side] = answer{p, time.Now()}
}

// linkWorks reports whether another peer on the same side has answered lately.
func (k *Keeper) linkWorks(p peer.ID) bool {
	side := k.outside(p)
	k.links.mu.Lock()
	defer k.links.mu.Unlock()
	a := k.links.answered[side]
	return a.peer != p && time.Since(a.at) < linkFresh
}

// Observe turns the outcome of an exchange into a score.
func (k *Keeper) Observe(o streams.Outcome) {
	if s, counts := k.outcome(o); counts {
		k.Book.Observe(o.Peer, s)
	}
	if o.Err == nil {
		k.heard(o.Peer)
	}
}

// outcome reports how an exchange counts for the peer's score. Most inbound requests do not count.
func (k *Keeper) outcome(o streams.Outcome) (_ scoring.Outcome, counts bool) {
	code := streams.CodeOf(o.Err)
	if o.Inbound {
		switch code {
		case streams.CodeInvalid, streams.CodeUnauthenticated, streams.CodeTooLarge:
			return scoring.BadMessage, true
		case streams.CodeForbidden:
			return scoring.Forbidden, true
		}
		return 0, false
	}
	switch {
	case o.Err == nil:
		return scoring.Success, true
	case errors.Is(o.Err, streams.ErrBadReply):
		return scoring.BadMessage, true
	case errors.Is(o.Err, context.Canceled):
		return 0, false
	case errors.Is(o.Err, streams.ErrUnreachable):
		return scoring.Failure, k.linkWorks(o.Peer)
	case code == streams.CodeTimeout:
		return scoring.Timeout, k.linkWorks(o.Peer)
	case code == streams.CodeInternal:
		return scoring.Failure, true
	}
	return scoring.Success, true // a refusal in words is an answer
}
