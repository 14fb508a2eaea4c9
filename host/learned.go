package host

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

const (
	maxLearners = 64             // peers whose word is kept
	maxLearned  = 4              // addresses that others are told: TCP and QUIC at two places
	learnedTime = 24 * time.Hour // how long a word counts after its peer has gone
)

// learned are addresses that this node does not know by itself and at which members have dialled it: those of a forwarded port.
// Nobody else could pass them on, because members take an address only from who is there.
type learned struct {
	mu   sync.Mutex // guards seen
	seen map[peer.ID]place
}

type place struct {
	addr  multiaddr.Multiaddr // nil while there is only a hole
	gone  time.Time           // zero while connected
	holed string              // the ID of a connection through a hole that was punched
}

// note takes down where a peer that came to us says that it has found us. It may be no member yet, and tell lies. others are
// the connections with it.
func (l *learned) note(e event.EvtPeerIdentificationCompleted, others []network.Conn, member func(peer.ID) bool) {
	dialled := e.Conn.Stat().Direction == network.DirInbound && !isCircuit(e.Conn.RemoteMultiaddr())
	if !dialled || e.ObservedAddr == nil || !discovery.Usable(e.ObservedAddr, false) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.seen[e.Peer]
	if !known && len(l.seen) >= maxLearners && !l.makeRoom(member) {
		return
	}
	if l.seen == nil {
		l.seen = make(map[peer.ID]place)
	}
	// A direct connection beside one by a relay is a hole that was punched, which leads nobody else here. The relay's is closed
	// soon; later news come over the same connection.
	if slices.ContainsFunc(others, func(c network.Conn) bool { return isCircuit(c.RemoteMultiaddr()) }) {
		before.holed = e.Conn.ID()
		l.seen[e.Peer] = before
		return
	}
	if before.holed == e.Conn.ID() {
		return
	}
	if before.addr != nil && manet.IsPublicAddr(before.addr) && !manet.IsPublicAddr(e.ObservedAddr) {
		return // now it comes from near, and what it has found from afar is still there
	}
	l.seen[e.Peer] = place{addr: e.ObservedAddr}
}

// makeRoom forgets one who is no member, else the one that has been gone for longest, if there is any.
func (l *learned) makeRoom(member func(peer.ID) bool) bool {
	var oldest peer.ID
	for p, at := range l.seen {
		if !member(p) {
			delete(l.seen, p)
			return true
		}
		if !at.gone.IsZero() && (oldest == "" || at.gone.Before(l.seen[oldest].gone)) {
			oldest = p
		}
	}
	delete(l.seen, oldest)
	return oldest != ""
}

// left says that a peer is connected no longer. The word of one who was no member is forgotten.
func (l *learned) left(p peer.ID, member func(peer.ID) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.seen[p]
	if !ok {
		return
	}
	if at.addr == nil || !member(p) {
		delete(l.seen, p)
		return
	}
	at.gone = time.Now()
	l.seen[p] = at
}

// addrs are the addresses by the word of members that are not among our own: those that most have named, then those named last.
func (l *learned) addrs(own []multiaddr.Multiaddr, member func(peer.ID) bool) []multiaddr.Multiaddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	type told struct {
		addr  multiaddr.Multiaddr
		words int
		last  time.Time
	}
	byAddr := make(map[string]told)
	for p, at := range l.seen {
		switch {
		case !at.gone.IsZero() && now.Sub(at.gone) > learnedTime:
			delete(l.seen, p)
		case at.addr != nil && member(p) && !multiaddr.Contains(own, at.addr):
			when := at.gone
			if when.IsZero() {
				when = now
			}
			key := string(at.addr.Bytes())
			t := byAddr[key]
			t.addr, t.words = at.addr, t.words+1
			if when.After(t.last) {
				t.last = when
			}
			byAddr[key] = t
		}
	}
	best := slices.SortedFunc(maps.Values(byAddr), func(a, b told) int {
		return cmp.Or(cmp.Compare(b.words, a.words), b.last.Compare(a.last), a.addr.Compare(b.addr))
	})
	var out []multiaddr.Multiaddr
	for _, t := range best[:min(len(best), maxLearned)] {
		out = append(out, t.addr)
	}
	return out
}
