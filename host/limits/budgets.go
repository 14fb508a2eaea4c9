package limits

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// Budgets are what peers have left of something that is bounded in time, such as a *rate.Limiter.
// They outlive streams and connections. Methods may be called concurrently.
type Budgets[B any] struct {
	fresh func() B

	mu    sync.Mutex // guards peers
	peers *simplelru.LRU[peer.ID, B]
}

// NewBudgets returns the budgets of up to most peers; that of the peer not heard of for the longest
// time goes first. fresh makes that of a new peer.
func NewBudgets[B any](most int, fresh func() B) *Budgets[B] {
	return &Budgets[B]{fresh: fresh, peers: newLRU[peer.ID, B](most)}
}

// Of returns the budget of p.
func (b *Budgets[B]) Of(p peer.ID) B {
	b.mu.Lock()
	defer b.mu.Unlock()
	left, ok := b.peers.Get(p)
	if !ok {
		left = b.fresh()
		b.peers.Add(p, left)
	}
	return left
}

// newLRU returns a map of size entries, of which the one not used for the longest time goes first.
func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	m, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return m
}

// Rates are rates of peers.
type Rates = Budgets[*rate.Limiter]

// ratedPeers bounds the peers whose rates are remembered.
const ratedPeers = 1024

// NewRates gives each peer as many at once as burst, and then one by one at the rate.
func NewRates(every rate.Limit, burst int) *Rates {
	return NewBudgets(ratedPeers, func() *rate.Limiter { return rate.NewLimiter(every, burst) })
}
