// Package arrivals wakes those who wait for a connection with a peer.
package arrivals

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Arrivals are those who wait. The zero value is ready; its methods may be called concurrently.
type Arrivals struct {
	mu      sync.Mutex // guards waiting
	waiting map[chan struct{}]peer.ID
}

// Connected wakes those who wait for p.
func (a *Arrivals) Connected(p peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c, q := range a.waiting {
		if p == q {
			close(c)
			delete(a.waiting, c)
		}
	}
}

// Wait returns when a connection with p appears, after most, or when ctx ends.
func (a *Arrivals) Wait(ctx context.Context, p peer.ID, most time.Duration) {
	c := make(chan struct{})
	a.mu.Lock()
	if a.waiting == nil {
		a.waiting = make(map[chan struct{}]peer.ID)
	}
	a.waiting[c] = p
	a.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-c:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	a.mu.Lock()
	delete(a.waiting, c)
	a.mu.Unlock()
}
