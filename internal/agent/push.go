package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// StatsTopic is where workers push their stats.
var StatsTopic = streams.Topic[ops.Stats]{Name: "/swarm/stats/1.0.0", Type: "stats"}

// statsRate is how many messages a second are taken from one worker, and
// statsBurst how many at once.
const (
	statsRate  = 1
	statsBurst = 5
)

// watchList are the workers whose pushed stats are wanted, with the newest
// number of each.
type watchList struct {
	mu    sync.Mutex
	peers map[peer.ID]*watched
}

type watched struct {
	boot int64
	seq  uint64
	rate *rate.Limiter
}

func (l *watchList) add(p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers[p] == nil {
		l.peers[p] = &watched{rate: rate.NewLimiter(statsRate, statsBurst)}
	}
}

// accept takes stats from the workers on the list, of themselves, newer than
// what came before, and not too often.
func (l *watchList) accept(from peer.ID, s ops.Stats) error {
	if s.Node != from.String() {
		return streams.Errorf(streams.CodeUnauthenticated, "stats of %s are signed by %s", s.Node, from)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.peers[from]
	if w == nil || s.Boot < w.boot || s.Boot == w.boot && s.Seq <= w.seq || !w.rate.Allow() {
		return streams.ErrIgnore
	}
	w.boot, w.seq = s.Boot, s.Seq
	return nil
}

// Pushed is one worker's stats as they were pushed.
type Pushed struct {
	Target    Target
	Timestamp time.Time
	Stats     ops.Stats
}

// Watch listens to the stats that the selected workers push, until ctx ends.
// It stays connected with them; with Selection.All also with bootstrap peers and
// saved machines that are found meanwhile. The controller must have been made with Watch, and
// watches once at a time; what is returned must be iterated.
func (c *Controller) Watch(ctx context.Context, s Selection) (iter.Seq2[Pushed, error], error) {
	targets, err := c.pick(s)
	if err != nil {
		return nil, err
	}
	list := &watchList{peers: make(map[peer.ID]*watched)}
	subject, err := StatsTopic.Join(c.Node.PubSub, c.Node.ID(), c.Node.Streams, list.accept)
	if err != nil {
		return nil, err
	}
	received, err := subject.Subscribe(ctx)
	if err != nil {
		return nil, errors.Join(err, subject.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	add := func(t Target) {
		list.add(t.Peer)
		c.Node.Keep(c.Node.Peerstore().PeerInfo(t.Peer))
	}
	for _, t := range targets {
		add(t)
	}
	var finding sync.WaitGroup
	if s.All {
		// Discovery may find anybody: only who is ours is listened to.
		finding.Go(func() {
			c.discover(ctx, never, ops.GetStats.Family.Name, func(t Target) {
				if c.isOurs(t.Peer) {
					add(t)
				}
			})
		})
	}
	return func(yield func(Pushed, error) bool) {
		defer subject.Close()
		defer finding.Wait()
		defer cancel()
		for r, err := range received {
			if err != nil {
				if ctx.Err() == nil {
					yield(Pushed{}, fmt.Errorf("listen to stats: %w", err))
				}
				return
			}
			t := c.known(r.From)
			t.Claimed = r.Payload.Name
			if !yield(Pushed{t, r.Timestamp, r.Payload}, nil) {
				return
			}
		}
	}, nil
}

// isOurs tells whether p was commanded, named or given as a bootstrap peer.
func (c *Controller) isOurs(p peer.ID) bool {
	m, saved := c.Node.Book().Get(p)
	return saved && !m.Hint || slices.ContainsFunc(c.boot, func(b peer.AddrInfo) bool { return b.ID == p })
}

// never is a time no process lives to see.
const never = 100 * 365 * 24 * time.Hour
