package discovery

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

// reportQueue is how many peers wait to be looked at; more are dropped, others will report them
// again.
const reportQueue = 256

// Reported is a Finder for peers that other peers report in messages.
type Reported struct {
	source string
	queue  chan peer.AddrInfo
}

// NewReported returns a Finder that yields what it is given.
func NewReported(source string) *Reported {
	return &Reported{source: source, queue: make(chan peer.AddrInfo, reportQueue)}
}

// String names the way.
func (r *Reported) String() string { return r.source }

// Report hands on a peer, or drops it where too many wait.
func (r *Reported) Report(info peer.AddrInfo) {
	select {
	case r.queue <- info:
	default:
	}
}

// Find yields the reported peers until ctx ends.
func (r *Reported) Find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case info := <-r.queue:
				if !yield(bounded(r.source, info)) {
					return
				}
			}
		}
	}
}
