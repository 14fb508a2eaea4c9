package host

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

const (
	// quicDelay is the head start of the one over the other: a round trip, as RFC 8305 has it.
	quicDelay = 250 * time.Millisecond
	// toldDelay is the head start of addresses that this node trusts over those that others have told of.
	toldDelay = 500 * time.Millisecond

	// firstDials are the addresses of one peer that are dialled at once. The library dials eight at a time, and those where nobody
	// answers hold a place for 5 s: the last two places are for ways by relays, for as long as restDelay.
	firstDials = 6
	toldFirst  = 2 // of them at least for addresses that are only told of
	restDelay  = 2 * time.Second
	restPause  = 250 * time.Millisecond // between two of the rest
	// awayDelay is for circuits by relays that we are not connected with. The library dials one circuit to a peer at a time, so one
	// by a relay that is gone would hold up the others; dialBy connects with the relay first.
	awayDelay = 5 * time.Second

	maxRelayAddrs = 256
	maxGivenAddrs = 4096
)

// dialOrder knows in which order the addresses of a peer are dialled.
type dialOrder struct {
	// relays are addresses of relays. These are dialled by QUIC first: hole punching works over UDP, and only one who has sent a
	// relay something by UDP learns how its NAT maps that.
	relays addrSet
	// given are addresses that the owner has named or where this node has reached a peer. They are dialled before those
	// that somebody has told of, who could name so many that the good one has no turn.
	given addrSet
	// connected tells which relays a circuit can go by now.
	connected func(peer.ID) bool
}

func newDialOrder(connected func(peer.ID) bool) *dialOrder {
	return &dialOrder{relays: addrSet{most: maxRelayAddrs}, given: addrSet{most: maxGivenAddrs}, connected: connected}
}

// addrSet is a set of addresses that knows which were added last, and forgets some when there are too many.
type addrSet struct {
	most int

	mu    sync.RWMutex // guards what follows
	addrs map[string]uint64
	last  uint64
}

// add adds addresses, the best first.
func (s *addrSet) add(addrs ...multiaddr.Multiaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addrs == nil {
		s.addrs = make(map[string]uint64)
	}
	for _, a := range slices.Backward(addrs) {
		s.last++
		s.addrs[string(a.Bytes())] = s.last
		for old := range s.addrs {
			if len(s.addrs) <= s.most {
				break
			}
			delete(s.addrs, old) // any: those in use are added again with each dial
		}
	}
}

// rank is larger for an address that was added later, or is better; 0 for one that was not.
func (s *addrSet) rank(a multiaddr.Multiaddr) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.addrs[string(a.Bytes())]
}

func (s *addrSet) has(a multiaddr.Multiaddr) bool { return s.rank(a) > 0 }

// rank orders the addresses of a peer as libp2p does, but with TCP before QUIC. When a machine's process is killed,
// its kernel ends a TCP connection at once, while a QUIC connection looks alive for 30 s more; and a round trip on a kept
// stream takes less over TCP. QUIC is there for where TCP does not get through, and a relay for where neither does.
func (o *dialOrder) rank(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	circuits, direct := split(addrs, isCircuit)
	relay := slices.ContainsFunc(direct, o.relays.has)
	given, told := split(direct, o.given.has)
	slices.SortFunc(given, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(o.given.rank(b), o.given.rank(a)) })
	t := min(len(told), max(toldFirst, firstDials-len(given)))
	g := min(len(given), firstDials-t)

	ranked := rankDirect(given[:g], relay)
	hearsay := rankDirect(told[:t], relay)
	if g > 0 {
		delayAll(hearsay, toldDelay)
	}
	ranked = append(ranked, hearsay...)
	for i, a := range slices.Concat(given[g:], told[t:]) {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: restDelay + time.Duration(i)*restPause})
	}
	for _, a := range circuits {
		way := network.AddrDelay{Addr: a}
		if len(direct) > 0 {
			way.Delay = swarm.RelayDelay
		}
		if !o.connected(RelayOf(a)) {
			way.Delay = awayDelay
		}
		ranked = append(ranked, way)
	}
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return cmp.Compare(a.Delay, b.Delay) })
	return ranked
}

func rankDirect(addrs []multiaddr.Multiaddr, relay bool) []network.AddrDelay {
	quic, tcp := split(addrs, isQUIC)
	first, second := swarm.DefaultDialRanker(tcp), swarm.DefaultDialRanker(quic)
	if relay {
		first, second = second, first
	}
	if len(first) > 0 {
		delayAll(second, quicDelay)
	}
	return append(first, second...)
}

func delayAll(addrs []network.AddrDelay, by time.Duration) {
	for i := range addrs {
		addrs[i].Delay += by
	}
}

func split(addrs []multiaddr.Multiaddr, first func(multiaddr.Multiaddr) bool) (yes, no []multiaddr.Multiaddr) {
	for _, a := range addrs {
		if first(a) {
			yes = append(yes, a)
		} else {
			no = append(no, a)
		}
	}
	return yes, no
}
