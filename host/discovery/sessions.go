package discovery

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	// After a failed start, for instance where there is no network yet; doubled up to
	// sessionSlowest.
	sessionFirst   = time.Second
	sessionSlowest = 30 * time.Second
	// sessionQueue is how many answers wait to be looked at; more are dropped, they come again.
	sessionQueue = 256
	settle       = time.Second // after an address change, which comes as several events
)

// sessions is a way that works in the local network: one session after another, because what it
// announces is a snapshot of our addresses.
type sessions struct {
	source  string
	log     *slog.Logger
	changes *Changes // of the machine's network
	// run is one session. It ends without an error when our addresses have changed.
	run func(ctx context.Context, out chan<- peer.AddrInfo) error
}

// find listens until ctx ends.
func (s sessions) find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		found := make(chan peer.AddrInfo, sessionQueue)
		wg.Go(func() { s.keepGoing(ctx, found) })
		for {
			select {
			case <-ctx.Done():
				return
			case info := <-found:
				if len(info.Addrs) > 0 && !yield(bounded(s.source, info)) {
					return
				}
			}
		}
	}
}

// keepGoing begins the next session at once, and after a failure a while later, or when the network
// has changed. It complains once.
func (s sessions) keepGoing(ctx context.Context, out chan<- peer.AddrInfo) {
	pauses := backoff.Backoff{First: sessionFirst, Most: sessionSlowest}
	for complained := false; ctx.Err() == nil; {
		changed := s.changes.Next() // also one that comes while the session fails
		err := s.run(ctx, out)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			complained = false
			pauses.Reset()
			continue
		case !complained:
			complained = true
			s.log.Info("finding peers by "+s.source+" does not work here for now; other ways go on", "err", err)
		}
		timer := time.NewTimer(pauses.Next())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-changed:
			pauses.Reset() // an address of IPv6 is of use a little later than it is seen
		}
		timer.Stop()
	}
}
