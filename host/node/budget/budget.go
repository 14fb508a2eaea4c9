// Package budget bounds what each peer may have a node do: a rate for each, which outlives the
// peer's streams and connections.
package budget

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// maxPeers bounds the peers that are remembered: the one not heard of for the longest time goes
// first.
const maxPeers = 1024

// Budgets are rates of peers. They outlive streams and connections.
type Budgets struct {
	every rate.Limit
	burst int

	mu    sync.Mutex
	peers *simplelru.LRU[peer.ID, *rate.Limiter]
}

// New gives each peer as many at once as burst, and then one by one at the rate.
func New(every rate.Limit, burst int) *Budgets {
	peers, err := simplelru.NewLRU[peer.ID, *rate.Limiter](maxPeers, nil)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return &Budgets{every: every, burst: burst, peers: peers}
}

// Of returns what a peer has left.
func (b *Budgets) Of(p peer.ID) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.peers.Get(p)
	if !ok {
		l = rate.NewLimiter(b.every, b.burst)
		b.peers.Add(p, l)
	}
	return l
}
