package discovery

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

const toldQueue = 256 // peers waiting to be looked at; more are dropped, others will tell again

// Told is a Finder for peers that others tell of in messages.
type Told struct {
	source string
	queue  chan peer.AddrInfo
}

// NewTold returns a Finder that yields what it is told.
func NewTold(source string) *Told {
	return &Told{source: source, queue: make(chan peer.AddrInfo, toldQueue)}
}

// String names the way.
func (t *Told) String() string { return t.source }

// Tell hands on a peer, or drops it where too many wait.
func (t *Told) Tell(info peer.AddrInfo) {
	select {
	case t.queue <- info:
	default:
	}
}

// Find yields what it is told, until ctx ends.
func (t *Told) Find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case info := <-t.queue:
				if !yield(bounded(t.source, info)) {
					return
				}
			}
		}
	}
}
