package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// finder keeps what discovery has found, and tries which of it is a machine to be asked.
type finder struct {
	targets *targets // set before the first discover
	fanOut  int
	log     *slog.Logger

	mu        sync.Mutex // guards what follows
	found     map[peer.ID]discovery.Found
	listeners map[chan<- peer.ID]struct{}
}

func newFinder(fanOut int, log *slog.Logger) *finder {
	return &finder{
		fanOut: fanOut, log: log, found: make(map[peer.ID]discovery.Found), listeners: make(map[chan<- peer.ID]struct{}),
	}
}

func (f *finder) onFound(p discovery.Found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.found[p.ID]; ok || len(f.found) >= host.DefaultMaxPeers {
		return
	}
	f.found[p.ID] = p
	for l := range f.listeners {
		select {
		case l <- p.ID:
		default: // as long as the table of found peers: never full
		}
	}
}

// discover reports machines that discovery has found, until wait is over:
// those that can be reached and speak the family.
func (f *finder) discover(ctx context.Context, wait time.Duration, family string, tell func(Target)) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	found := make(chan peer.ID, host.DefaultMaxPeers)
	f.mu.Lock()
	f.listeners[found] = struct{}{}
	for id := range f.found {
		found <- id
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.listeners, found)
		f.mu.Unlock()
	}()

	reached := make(chan Target)
	dials := newFanOut(f.fanOut)
	defer dials.wait()
	for {
		select {
		case id := <-found:
			dials.do(func() {
				if ctx.Err() != nil {
					return
				}
				if t, ok := f.probe(ctx, id, family); ok {
					select {
					case reached <- t:
					case <-ctx.Done():
					}
				}
			})
		case t := <-reached:
			tell(t)
		case <-ctx.Done():
			return
		}
	}
}

// probe reaches a found peer and reports whether it speaks the family. Discovery
// is a hint only: a peer that does not answer is no target.
func (f *finder) probe(ctx context.Context, id peer.ID, family string) (Target, bool) {
	info, err := f.targets.node.Greeting(ctx, id)
	if err != nil {
		f.log.Debug("a found peer does not answer", "peer", id, "err", err)
		return Target{}, false
	}
	speaks := slices.ContainsFunc(info.Hello.Families, func(f streams.FamilyInfo) bool { return f.Name == family })
	t := f.targets.known(id)
	if t.Claimed == "" {
		t.Claimed = info.Hello.Name
	}
	if f.targets.fleet != nil {
		return t, speaks && info.Grant != nil && info.Grant.Role == trust.RoleWorker
	}
	return t, speaks && info.Hello.Role != RoleController
}
