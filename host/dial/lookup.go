package dial

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	lookupTime  = 2 * time.Second // for others to say where a peer is; and never more than half of what the caller gives
	lookupPeers = 4               // others to turn to while this node is not a part of the DHT
)

// Lookup asks the DHT where a peer is that does not answer.
type Lookup struct {
	DHT DHT
	// Others are peers by which this node can become a part of the DHT, the likeliest first.
	Others func() []peer.AddrInfo
	// Dial connects with a peer.
	Dial func(context.Context, peer.AddrInfo) error
}

// DHT is a part of a distributed hash table, see discovery.DHT.
type DHT interface {
	// Ready reports whether there is anybody to ask; WaitReady waits for it, until ctx ends.
	Ready() bool
	WaitReady(ctx context.Context) bool
	FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error)
}

// Find returns the addresses of p that the DHT knows; none where nobody answers in time. A process
// that has just started is not a part of the DHT yet, so it first turns to others.
func (l *Lookup) Find(ctx context.Context, p peer.ID) []multiaddr.Multiaddr {
	most := lookupTime
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)/2) // so that what was tried can still be reported
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if !l.DHT.Ready() && (!l.reachOthers(ctx, p) || !l.DHT.WaitReady(ctx)) {
		return nil
	}
	info, err := l.DHT.FindPeer(ctx, p)
	if err != nil {
		return nil
	}
	return info.Addrs
}

// reachOthers connects with one of a few others, and reports whether any answered. Dials that are
// still under way end with ctx.
func (l *Lookup) reachOthers(ctx context.Context, but peer.ID) bool {
	others := slices.DeleteFunc(l.Others(), func(o peer.AddrInfo) bool { return o.ID == but })
	others = others[:min(len(others), lookupPeers)]
	answers := make(chan bool, len(others))
	for _, o := range others {
		go func() { answers <- l.Dial(ctx, o) == nil }()
	}
	for range others {
		if <-answers {
			return true
		}
	}
	return false
}
