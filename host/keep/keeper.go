// Package keep decides which connections a node has: it keeps those with wanted peers up, follows
// how it stands with each peer, dials a few of those that discovery finds, and gives up those that
// are not needed.
package keep

// A repair of github.com/libp2p/go-libp2p v0.51.0: it never dials a peer again that was lost,
// whatever its tags. Upstream: https://github.com/libp2p/go-libp2p/pull/1334, closed. The file may
// go when the library keeps connections that its user names.

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// Tag protects kept peers from the connection manager.
const Tag = "swarm-kept"

// How often a kept peer that is away is dialled: fast for what a restart or a short outage takes,
// then steadily, so that a machine that comes back after a night is there within half a minute.
const (
	redialFast    = 4 * time.Second // so that a peer that restarts is back within 5 s
	redialSlow    = 30 * time.Second
	redialPatient = 10 * time.Minute // fast until then
	redialTimeout = 5 * time.Second  // for one attempt

	// Many peers can meet nowhere but at a relay.
	redialRelay        = 1500 * time.Millisecond
	redialRelayTimeout = 2 * time.Second

	// An attempt that nobody answered may have been one too many for a full link: the next pause is
	// twice as long, up to these. A refusal is quick, and says that the machine is there.
	redialFastMost  = 8 * time.Second
	redialRelayMost = 6 * time.Second
	// redialRelayPatience is for an attempt after one that nobody answered.
	redialRelayPatience = 4 * time.Second

	// turns is how many attempts there are at once at peers of one Claim that are not proven: the thief
	// of an issuer's key makes up thousands, none of which answers, and each attempt costs 60 KiB.
	turns = 16
)

// Claim is what speaks for dialling a peer.
type Claim int

// The claims. Peers of the latter two wait for their turn, each kind by itself: a real one answers, and
// is proven then.
const (
	Proven   Claim = iota // a member that has been connected before, or a peer that the owner has given
	Told                  // a member that others have told of
	Doubtful              // no member, as far as is known: its signer may have ended
)

// redialDelay is the pause after a failed attempt to reach a peer that has been away for the given
// time, when so many attempts in a row were not answered. It is less by up to a fifth at random, so
// that a fleet that lost its controller does not come back in step.
func redialDelay(away time.Duration, relay bool, unanswered int) time.Duration {
	if away >= redialPatient {
		return backoff.Less(redialSlow, 0.2)
	}
	d, most := redialFast, redialFastMost
	if relay {
		d, most = redialRelay, redialRelayMost
	}
	for ; unanswered > 0 && d < most; unanswered-- {
		d *= 2
	}
	return backoff.Less(min(d, most), 0.2)
}

// attemptTime is how long one attempt may take.
func attemptTime(relay bool, unanswered int) time.Duration {
	switch {
	case !relay:
		return redialTimeout
	case unanswered > 0:
		return redialRelayPatience
	}
	return redialRelayTimeout
}

// Keeper dials peers until they are connected, and again when they are lost: libp2p never does. Its
// methods may be called concurrently.
type Keeper struct {
	cfg   KeeperConfig
	log   *slog.Logger
	turns map[Claim]chan struct{} // has a token for each attempt under way; of Proven none

	mu    sync.Mutex // guards what follows
	peers map[peer.ID]*kept
	wg    *sync.WaitGroup // of the running Run, else nil
	ctx   context.Context // of the running Run
}

// kept is one peer that is kept.
type kept struct {
	info peer.AddrInfo
	lost chan struct{} // has a token when the peer may have been lost
	stop context.CancelFunc
}

// KeeperConfig is what a Keeper works with.
type KeeperConfig struct {
	// Dial connects with a peer; it returns at once when that is connected.
	Dial func(context.Context, peer.AddrInfo) error
	// Connected and IsRelay report whether a peer is connected, and whether it is a relay.
	Connected, IsRelay func(peer.ID) bool
	// Claim returns what speaks for dialling a peer; nil means that all are proven.
	Claim  func(peer.ID) Claim
	Logger *slog.Logger
}

// NewKeeper returns a Keeper of no peers.
func NewKeeper(cfg KeeperConfig) *Keeper {
	return &Keeper{
		cfg: cfg, log: cfg.Logger, peers: make(map[peer.ID]*kept),
		turns: map[Claim]chan struct{}{Told: make(chan struct{}, turns), Doubtful: make(chan struct{}, turns)},
	}
}

// Run keeps all peers, also those added later, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	k.mu.Lock()
	k.ctx, k.wg = ctx, &wg
	for _, p := range k.peers {
		k.start(p)
	}
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock()
	k.ctx, k.wg = nil, nil
	k.mu.Unlock()
	wg.Wait()
	return nil
}

// start begins to keep p, if Run is running. The lock is held.
func (k *Keeper) start(p *kept) {
	if k.wg == nil {
		return
	}
	ctx, stop := context.WithCancel(k.ctx)
	p.stop = stop
	k.wg.Go(func() {
		defer stop()
		k.keep(ctx, p)
	})
}

// Add keeps a peer, with these addresses in place of those given before.
func (k *Keeper) Add(info peer.AddrInfo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.peers[info.ID]; old != nil {
		old.stop()
	}
	p := &kept{info: info, lost: make(chan struct{}, 1), stop: func() {}}
	k.peers[info.ID] = p
	k.start(p)
}

// Remove no longer keeps a peer. The connection, if there is one, stays.
func (k *Keeper) Remove(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.peers[id]; p != nil {
		p.stop()
		delete(k.peers, id)
	}
}

// Has reports whether a peer is kept.
func (k *Keeper) Has(id peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.peers[id] != nil
}

// List returns the kept peers, with the addresses given.
func (k *Keeper) List() []peer.AddrInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]peer.AddrInfo, 0, len(k.peers))
	for _, p := range k.peers {
		out = append(out, p.info)
	}
	return out
}

// Wake makes the loop of a peer look at once, if the peer is kept.
func (k *Keeper) Wake(id peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.peers[id]; p != nil {
		select {
		case p.lost <- struct{}{}:
		default:
		}
	}
}

// WakeAll makes all loops look at once.
func (k *Keeper) WakeAll() {
	for _, p := range k.List() {
		k.Wake(p.ID)
	}
}

// keep dials p until it is connected, waits until it is lost, and begins again: at once, unless p
// ended the connection before as quickly, which is how a peer turns this node away.
func (k *Keeper) keep(ctx context.Context, p *kept) {
	short := false // the last connection did not last
	for k.reach(ctx, p) {
		since := time.Now()
		for k.cfg.Connected(p.info.ID) {
			select {
			case <-ctx.Done():
				return
			case <-p.lost:
			}
		}
		delay, lasted := redialDelay(0, k.cfg.IsRelay(p.info.ID), 0), time.Since(since)
		if short && lasted < delay && !backoff.Wait(ctx, delay-lasted) {
			return
		}
		short = lasted < delay
	}
}

// reach dials p until that succeeds, or ctx ends.
func (k *Keeper) reach(ctx context.Context, p *kept) bool {
	since, unanswered := time.Now(), 0
	for attempt := 1; ; attempt++ {
		end, ok := k.turn(ctx, p)
		if !ok {
			return false
		}
		relay, began := k.cfg.IsRelay(p.info.ID), time.Now()
		most := attemptTime(relay, unanswered)
		err := k.try(ctx, p.info, most)
		end()
		if err == nil {
			if attempt > 1 {
				k.log.Info("peer is back", "peer", p.info.ID, "away", time.Since(since).Round(time.Second), "attempts", attempt)
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if attempt == 1 {
			k.log.Warn("peer cannot be reached, will keep trying", "peer", p.info.ID, "err", err)
		} else {
			k.log.Debug("peer cannot be reached yet", "peer", p.info.ID, "err", err, "attempt", attempt)
		}
		if time.Since(began) < most/2 {
			unanswered = 0
		} else {
			unanswered++
		}
		timer := time.NewTimer(redialDelay(time.Since(since), relay, unanswered))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-p.lost: // something happened with it: it may have connected to us
			timer.Stop()
		case <-timer.C:
		}
	}
}

// turn waits until it is the turn of a peer to be dialled, or it has connected to this node, or ctx
// ends: then it returns false. end must be called after the attempt.
func (k *Keeper) turn(ctx context.Context, p *kept) (end func(), ok bool) {
	if k.cfg.Claim == nil {
		return func() {}, true
	}
	for {
		claim := k.cfg.Claim(p.info.ID)
		if claim == Proven || k.cfg.Connected(p.info.ID) {
			return func() {}, true
		}
		select {
		case <-ctx.Done():
			return nil, false
		case k.turns[claim] <- struct{}{}:
			return func() { <-k.turns[claim] }, true
		case <-p.lost: // something happened with it
		}
	}
}

func (k *Keeper) try(ctx context.Context, info peer.AddrInfo, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return k.cfg.Dial(ctx, info)
}
