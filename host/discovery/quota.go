package discovery

import (
	"net/netip"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxSources are the senders whose rates are known. One who pretends to be more is held by the
// limit in sum.
const maxSources = 1024

// quota is a limit for each sender, and one for all.
type quota struct {
	all   *rate.Limiter
	each  rate.Limit
	burst int

	mu      sync.Mutex // guards sources
	sources *simplelru.LRU[netip.Addr, *rate.Limiter]
}

func newQuota(all *rate.Limiter, each rate.Limit, burst int) *quota {
	// NewLRU fails for a size of 0 only.
	sources, _ := simplelru.NewLRU[netip.Addr, *rate.Limiter](maxSources, nil)
	return &quota{all: all, each: each, burst: burst, sources: sources}
}

// allow takes one from both limits. A sender over its own takes nothing from the others.
func (q *quota) allow(from netip.Addr) bool {
	q.mu.Lock()
	own, ok := q.sources.Get(from)
	if !ok {
		own = rate.NewLimiter(q.each, q.burst)
		q.sources.Add(from, own)
	}
	q.mu.Unlock()
	return own.Allow() && q.all.Allow()
}
