package dial

// A repair of github.com/libp2p/go-libp2p v0.51.0: it dials eight addresses of a peer at a time,
// and one circuit, in no order of trust. Upstream:
// https://github.com/libp2p/go-libp2p-swarm/issues/97,
// https://github.com/libp2p/go-libp2p-swarm/pull/118. Order.Rank may go when the library lets its
// user prefer addresses, and silent ones hold up no others.

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	// quicDelay is the head start of the one over the other: a round trip, as RFC 8305 has it.
	quicDelay = 250 * time.Millisecond
	// announcedDelay is the head start of first-hand addresses over those that others have announced.
	announcedDelay = 500 * time.Millisecond

	// firstDials are the addresses of one peer that are dialled at once. The library dials eight at
	// a time, and an address where nobody answers holds a place for 5 s: the last two places are
	// for ways through relays, for as long as restDelay.
	firstDials     = 6
	announcedFirst = 2 // of them at least for addresses that are only announced
	restDelay      = 2 * time.Second
	restPause      = 250 * time.Millisecond // between two of the rest
	// awayDelay is for circuits through relays that we are not connected with. The library dials one
	// circuit to a peer at a time, so one through a relay that is gone would hold up the others;
	// relay.Circuits connects with the relay first.
	awayDelay = 5 * time.Second

	maxRelayAddrs = 256
	maxGivenAddrs = 4096
)

// Order knows in which order the addresses of a peer are dialled.
type Order struct {
	// relays are addresses of relays. They are dialled by QUIC first: hole punching works over UDP,
	// and a node learns how its NAT maps UDP only by sending some to a relay.
	relays addrSet
	// given are addresses that the owner has named or where this node has reached a peer. They are
	// dialled before those that another peer has announced, which could be so many that the good one
	// has no turn.
	given addrSet
	// connected reports which relays a circuit can use now.
	connected func(peer.ID) bool
}

// NewOrder returns an Order. connected reports whether a relay is connected.
func NewOrder(connected func(peer.ID) bool) *Order {
	return &Order{relays: addrSet{most: maxRelayAddrs}, given: addrSet{most: maxGivenAddrs}, connected: connected}
}

// Give notes first-hand addresses, the best first.
func (o *Order) Give(addrs ...multiaddr.Multiaddr) { o.given.add(addrs...) }

// Given reports whether an address is first-hand.
func (o *Order) Given(a multiaddr.Multiaddr) bool { return o.given.has(a) }

// Relay notes addresses of relays.
func (o *Order) Relay(addrs ...multiaddr.Multiaddr) { o.relays.add(addrs...) }

// addrSet is a set of addresses that knows which were added last, and forgets some when there are
// too many.
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

// Rank orders the addresses of a peer as libp2p does, but with TCP before QUIC. When a machine's
// process is killed, its kernel ends a TCP connection at once, while a QUIC connection looks alive
// for 30 s more; and a round trip on a kept stream takes less over TCP. QUIC is for where TCP does
// not get through, and a relay for where neither does.
func (o *Order) Rank(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	circuits, direct := split(addrs, route.IsCircuit)
	relay := slices.ContainsFunc(direct, o.relays.has)
	given, announced := split(direct, o.given.has)
	slices.SortFunc(given, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(o.given.rank(b), o.given.rank(a)) })
	t := min(len(announced), max(announcedFirst, firstDials-len(given)))
	g := min(len(given), firstDials-t)

	ranked := rankDirect(given[:g], relay)
	hearsay := rankDirect(announced[:t], relay)
	if g > 0 {
		delayAll(hearsay, announcedDelay)
	}
	ranked = append(ranked, hearsay...)
	for i, a := range slices.Concat(given[g:], announced[t:]) {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: restDelay + time.Duration(i)*restPause})
	}
	for _, a := range circuits {
		way := network.AddrDelay{Addr: a}
		if len(direct) > 0 {
			way.Delay = swarm.RelayDelay
		}
		if !o.connected(route.RelayOf(a)) {
			way.Delay = awayDelay
		}
		ranked = append(ranked, way)
	}
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return cmp.Compare(a.Delay, b.Delay) })
	return ranked
}

func rankDirect(addrs []multiaddr.Multiaddr, relay bool) []network.AddrDelay {
	quic, tcp := split(addrs, route.IsQUIC)
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
