package reach

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
	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	maxLearners = 64             // peers whose observation is kept
	maxLearned  = 4              // addresses that are announced: TCP and QUIC at two places
	learnedTime = 24 * time.Hour // how long an observation counts after its peer has gone
)

// Learned are addresses that this node does not know by itself and at which members have dialled it:
// those of a forwarded port. No other peer could pass them on, because members take an address only
// from the peer that is there. Observations from strangers, and over a hole that was punched, do not
// count.
type Learned struct {
	member func(peer.ID) bool

	mu   sync.Mutex // guards seen
	seen map[peer.ID]place
}

// NewLearned returns an empty set. member reports whether the word of a peer counts.
func NewLearned(member func(peer.ID) bool) *Learned {
	return &Learned{member: member, seen: make(map[peer.ID]place)}
}

type place struct {
	addr  multiaddr.Multiaddr // nil while there is only a hole
	gone  time.Time           // zero while connected
	holed string              // the ID of a connection through a hole that was punched
}

// Note takes down where a peer that has dialled this node has found it. The peer may be no member
// yet, and lie. others are the connections with it.
func (l *Learned) Note(e event.EvtPeerIdentificationCompleted, others []network.Conn) {
	dialled := e.Conn.Stat().Direction == network.DirInbound && !route.IsCircuit(e.Conn.RemoteMultiaddr())
	if !dialled || e.ObservedAddr == nil || !discovery.Usable(e.ObservedAddr, false) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.seen[e.Peer]
	if !known && len(l.seen) >= maxLearners && !l.makeRoom() {
		return
	}
	// A direct connection beside one through a relay is a hole that was punched, which no other
	// peer can use. The relay's is closed soon; later observations come over the same connection.
	if slices.ContainsFunc(others, func(c network.Conn) bool { return route.IsCircuit(c.RemoteMultiaddr()) }) {
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

// makeRoom forgets a peer that is no member, else the one that has been gone for longest, if any.
func (l *Learned) makeRoom() bool {
	var oldest peer.ID
	for p, at := range l.seen {
		if !l.member(p) {
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

// Left notes that a peer is no longer connected. What a peer that was no member has observed is
// forgotten.
func (l *Learned) Left(p peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.seen[p]
	if !ok {
		return
	}
	if at.addr == nil || !l.member(p) {
		delete(l.seen, p)
		return
	}
	at.gone = time.Now()
	l.seen[p] = at
}

// Addrs returns the addresses observed by members that are not among our own: those that most members
// have observed, then those observed last.
func (l *Learned) Addrs(own []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	type observed struct {
		addr  multiaddr.Multiaddr
		words int
		last  time.Time
	}
	byAddr := make(map[string]observed)
	for p, at := range l.seen {
		switch {
		case !at.gone.IsZero() && now.Sub(at.gone) > learnedTime:
			delete(l.seen, p)
		case at.addr != nil && l.member(p) && !multiaddr.Contains(own, at.addr):
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
	best := slices.SortedFunc(maps.Values(byAddr), func(a, b observed) int {
		return cmp.Or(cmp.Compare(b.words, a.words), b.last.Compare(a.last), a.addr.Compare(b.addr))
	})
	var out []multiaddr.Multiaddr
	for _, t := range best[:min(len(best), maxLearned)] {
		out = append(out, t.addr)
	}
	return out
}
