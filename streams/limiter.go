package streams

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// openStreams counts the streams that peers have open with us.
type openStreams struct {
	mu    sync.Mutex
	peers map[peer.ID]*peerStreams
}

type peerStreams struct {
	all      int
	byFamily map[string]int
}

// add counts one more stream of p in the family, unless that is over a limit.
func (o *openStreams) add(p peer.ID, family string, member bool, l Limits) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	ps := o.peers[p]
	if ps == nil {
		if o.peers == nil {
			o.peers = make(map[peer.ID]*peerStreams)
		}
		ps = &peerStreams{byFamily: make(map[string]int)}
		o.peers[p] = ps
	}
	if member && ps.byFamily[family] >= l.MemberStreams || !member && ps.all >= l.StrangerStreams {
		return false
	}
	ps.all++
	ps.byFamily[family]++
	return true
}

func (o *openStreams) remove(p peer.ID, family string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ps := o.peers[p]
	ps.all--
	ps.byFamily[family]--
	if ps.all == 0 {
		delete(o.peers, p)
	}
}

// rates hold a token bucket for each peer and kind of request. They outlive
// connections, so that to reconnect does not fill the bucket.
type rates struct {
	mu        sync.Mutex
	strangers *simplelru.LRU[peer.ID, *rate.Limiter]
	effects   *simplelru.LRU[peer.ID, *rate.Limiter]
	limits    Limits
}

func newRates(l Limits) *rates {
	return &rates{strangers: newLRU[peer.ID, *rate.Limiter](l.Peers, nil), effects: newLRU[peer.ID, *rate.Limiter](l.Peers, nil), limits: l}
}

// newLRU makes a table of n entries; NewLRU fails for n below 1 only.
func newLRU[K comparable, V any](n int, evicted func(K, V)) *simplelru.LRU[K, V] {
	l, err := simplelru.NewLRU(max(n, 1), evicted)
	if err != nil {
		panic(err)
	}
	return l
}

// allow takes a token for one request of p.
func (r *rates) allow(p peer.ID, member, effect bool) bool {
	switch {
	case !member:
		return r.bucket(r.strangers, p, r.limits.StrangerRate, r.limits.StrangerBurst).Allow()
	case effect:
		return r.bucket(r.effects, p, r.limits.EffectRate, r.limits.EffectBurst).Allow()
	}
	return true
}

func (r *rates) bucket(t *simplelru.LRU[peer.ID, *rate.Limiter], p peer.ID, perSecond float64, burst int) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := t.Get(p)
	if !ok {
		b = rate.NewLimiter(rate.Limit(perSecond), burst)
		t.Add(p, b)
	}
	return b
}
