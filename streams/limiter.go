package streams

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// rates hold a token bucket for each peer and kind of request. They outlive connections:
// reconnecting does not refill the bucket.
type rates struct {
	mu        sync.Mutex
	strangers *simplelru.LRU[peer.ID, *bucket]
	effects   *simplelru.LRU[peer.ID, *bucket]
	publics   *simplelru.LRU[peer.ID, *bucket]
	reads     *simplelru.LRU[peer.ID, *bucket]
	greetings *simplelru.LRU[peer.ID, *bucket]
	limits    Limits
}

// bucket is what a peer has left of a rate.
type bucket struct {
	*rate.Limiter
	over atomic.Int64 // requests that were refused since the last one that was not
}

func newRates(l Limits) *rates {
	newTable := func() *simplelru.LRU[peer.ID, *bucket] { return newLRU[peer.ID, *bucket](maxPeers, nil) }
	return &rates{
		strangers: newTable(),
		effects:   newTable(),
		publics:   newTable(),
		reads:     newTable(),
		greetings: newTable(),
		limits:    l,
	}
}

// newLRU makes a table of n entries; NewLRU fails for n below 1 only.
func newLRU[K comparable, V any](n int, evicted func(K, V)) *simplelru.LRU[K, V] {
	l, err := simplelru.NewLRU(max(n, 1), evicted)
	if err != nil {
		panic(err)
	}
	return l
}

// allow takes a token for a stranger's request.
func (r *rates) allow(p peer.ID) bool {
	b := r.stranger(p)
	if !b.Allow() {
		b.over.Add(1)
		return false
	}
	b.over.Store(0)
	return true
}

// allowLarge takes further tokens for a stranger's frame of n bytes: to read and to decode it costs
// so much more. The largest one fits into a full bucket.
func (r *rates) allowLarge(p peer.ID, n int) bool {
	return r.stranger(p).AllowN(time.Now(), min(n/growStep, r.limits.Stranger.Burst-1))
}

// cutOff reports whether a stranger goes on although more requests than a burst were refused: then
// nothing of it is read until it has a token again.
func (r *rates) cutOff(p peer.ID) bool {
	b := r.stranger(p)
	return b.over.Load() > int64(r.limits.Stranger.Burst) && b.Tokens() < 1
}

func (r *rates) stranger(p peer.ID) *bucket {
	return r.bucket(r.strangers, p, r.limits.Stranger)
}

// allowMember takes a token for one request of a member.
func (r *rates) allowMember(p peer.ID, s Spec) bool {
	switch {
	case s.Verb.HasEffect():
		return r.bucket(r.effects, p, r.limits.Effect).Allow()
	case s.Verb == VerbPublic && s.Family.Greeting == "":
		return r.bucket(r.publics, p, r.limits.Public).Allow()
	}
	if s.Family.Greeting != "" { // apart, so that no reading keeps a peer from its handshake
		return r.bucket(r.greetings, p, r.limits.Read).Allow()
	}
	return r.bucket(r.reads, p, r.limits.Read).Allow()
}

func (r *rates) bucket(t *simplelru.LRU[peer.ID, *bucket], p peer.ID, most Rate) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := t.Get(p)
	if !ok {
		b = &bucket{Limiter: rate.NewLimiter(rate.Limit(most.PerSecond), most.Burst)}
		t.Add(p, b)
	}
	return b
}
