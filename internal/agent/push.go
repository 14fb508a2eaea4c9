package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// StatsTopic is where workers without a fleet push their stats.
var StatsTopic = streams.Topic[ops.Stats]{Name: string(host.DefaultPrefix) + statsTopicName, Type: "stats"}

const statsTopicName = "/stats/1.0.0"

// statsTopic is where the workers of a fleet, or of none, push their stats.
func statsTopic(f *trust.Fleet) streams.Topic[ops.Stats] {
	t := StatsTopic
	if f != nil {
		t.Name = string(node.FleetPrefix(f.ID())) + statsTopicName
	}
	return t
}

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
	Target    Target    `json:"target"`
	Timestamp time.Time `json:"timestamp"`
	Stats     ops.Stats `json:"stats"`
	// Event, Why and Away are set, and nothing else, when the controller that serves is lost or back,
	// see [Result].
	Event ResultEvent   `json:"event,omitzero"`
	Why   string        `json:"why,omitzero"`
	Away  time.Duration `json:"awayMs,omitzero"`
}

// Watch listens to the stats that the selected workers push, until ctx ends.
// It stays connected with them; with Selection.All also with the bootstrap peers
// and with machines that other commands save meanwhile. The controller must
// have been made with [NewWatch] or [NewServe], and watches once at a time; what is returned must
// be iterated.
func (c *Controller) Watch(ctx context.Context, s Selection) (iter.Seq2[Pushed, error], error) {
	picked, err := c.Resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	if c.Node.PubSub == nil {
		return c.poll(ctx, picked, s.All), nil
	}
	list := &watchList{peers: make(map[peer.ID]*watched)}
	subject, err := statsTopic(c.fleet).Join(c.Node.PubSub, c.Node.ID(), c.Node.Streams, list.accept)
	if err != nil {
		return nil, err
	}
	received, err := subject.Subscribe(ctx)
	if err != nil {
		return nil, errors.Join(err, subject.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	tell := func(t Target) {
		list.add(t.Peer)
		c.keepTarget(t)
	}
	var finding sync.WaitGroup
	finding.Go(func() { c.follow(ctx, picked, s.All, tell) })
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
			if !yield(Pushed{Target: t, Timestamp: r.Timestamp, Stats: r.Payload}, nil) {
				return
			}
		}
	}, nil
}

// KeepAll stays connected with all machines, also those that other commands save meanwhile, until ctx
// ends. In a fleet the controller does so by itself.
func (c *Controller) KeepAll(ctx context.Context) error {
	picked, err := c.Resolve(ctx, Selection{All: true})
	if err == nil {
		c.follow(ctx, picked, true, c.keepTarget)
	}
	return err
}

// keepTarget begins to stay connected with a machine.
func (c *Controller) keepTarget(t Target) {
	if !c.Node.Kept(t.Peer) {
		c.Node.Keep(c.Node.Peerstore().PeerInfo(t.Peer))
	}
}

// follow tells of machines: at once of those that were picked and, where all are wanted, of the
// bootstrap peers and of those that other commands save, until ctx ends.
func (c *Controller) follow(ctx context.Context, picked []Target, all bool, tell func(Target)) {
	tell = once(tell)
	for _, t := range picked {
		tell(t)
	}
	if !all {
		return
	}
	for _, b := range c.boot {
		tell(c.known(b.ID))
	}
	c.followBook(ctx, bookEvery, tell)
}

// followBook reports the machines that other commands save meanwhile.
func (c *Controller) followBook(ctx context.Context, every time.Duration, tell func(Target)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.Node.Book().Reload(); err != nil {
			c.log.Warn("the address book cannot be read again", "err", err)
			continue
		}
		for _, t := range c.all() {
			tell(t)
		}
	}
}

// bookEvery is how often a watch looks for machines that were saved meanwhile.
const bookEvery = 10 * time.Second

// poll asks for stats again and again, for a command that is no subscriber:
// pubsub keeps one stream for each peer ID, and several processes share this one.
func (c *Controller) poll(ctx context.Context, picked []Target, all bool) iter.Seq2[Pushed, error] {
	return func(yield func(Pushed, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var polls sync.WaitGroup
		defer polls.Wait()
		defer cancel()
		out := make(chan Pushed)
		add := once(func(t Target) { polls.Go(func() { c.pollOne(ctx, t, out) }) })
		for _, t := range picked {
			add(t)
		}
		if all {
			polls.Go(func() { c.followBook(ctx, bookEvery, add) })
		}
		for {
			select {
			case <-ctx.Done():
				return
			case p := <-out:
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

func (c *Controller) pollOne(ctx context.Context, t Target, out chan<- Pushed) {
	tick := time.NewTicker(DefaultStatsEvery)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, DefaultStatsEvery)
		stats, err := ops.GetStats.Do(asked, c.Node.Client, t.Peer, ops.StatsRequest{})
		cancel()
		if err != nil {
			c.log.Debug("no stats", "peer", t.Peer, "err", err)
		} else {
			select {
			case out <- Pushed{Target: t, Timestamp: time.Now(), Stats: stats}:
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
