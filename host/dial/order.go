package dial

// A repair of github.com/libp2p/go-libp2p v0.51.0: it dials eight addresses of a peer at a time,
// and one circuit, in no order of trust. Upstream:
// https://github.com/libp2p/go-libp2p-swarm/issues/97,
// https://github.com/libp2p/go-libp2p-swarm/pull/118. Order.Rank may go when the library lets its
// user prefer addresses, and silent ones hold up no others.

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	// kindDelay is the head start of one kind over the next, of TCP, QUIC and WebSocket: a round trip,
	// as RFC 8305 has it.
	kindDelay = 250 * time.Millisecond
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

	// nearDelay is the head start of addresses over circuits where all of them are of private networks:
	// who is in the same one answers in less, and nobody else does.
	nearDelay = 50 * time.Millisecond
	// silentFor is how long the addresses of a peer with whom a connection was found dead hold up no
	// circuit.
	silentFor = 5 * time.Second

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
	// silent are IP addresses of peers with whom a connection was found dead a moment ago. They are
	// dialled, and hold up no circuit.
	silent silences
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

// Silenced notes that a connection with a peer that has these addresses was found dead.
func (o *Order) Silenced(addrs ...multiaddr.Multiaddr) {
	for _, a := range addrs {
		if ip, ok := route.IP(a); ok && !route.IsCircuit(a) {
			o.silent.add(ip, time.Now())
		}
	}
}

// Silent reports whether a connection with a peer at the IP address of a was found dead a moment ago.
func (o *Order) Silent(a multiaddr.Multiaddr) bool {
	ip, ok := route.IP(a)
	return ok && o.silent.has(ip, time.Now())
}

// silences are IP addresses, each for silentFor.
type silences struct {
	mu    sync.Mutex // guards since
	since map[netip.Addr]time.Time
}

func (s *silences) add(ip netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since == nil {
		s.since = make(map[netip.Addr]time.Time)
	}
	maps.DeleteFunc(s.since, func(_ netip.Addr, t time.Time) bool { return now.Sub(t) > silentFor })
	s.since[ip] = now
}

func (s *silences) has(ip netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.since[ip]
	return ok && now.Sub(t) <= silentFor
}

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
// not get through, WebSocket for where only what looks like the web does, and a relay for where none
// of them does.
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
	_, hopeful := split(direct, o.Silent)
	for _, a := range circuits {
		way := network.AddrDelay{Addr: a}
		switch {
		case slices.ContainsFunc(hopeful, manet.IsPublicAddr):
			way.Delay = swarm.RelayDelay
		case len(hopeful) > 0:
			way.Delay = nearDelay
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
	web, bare := split(addrs, route.IsWebSocket)
	quic, tcp := split(bare, route.IsQUIC)
	kinds := [][]multiaddr.Multiaddr{tcp, quic, web}
	if relay {
		kinds = [][]multiaddr.Multiaddr{quic, tcp, web}
	}
	var ranked []network.AddrDelay
	var delay time.Duration
	for _, kind := range kinds {
		if len(kind) == 0 {
			continue
		}
		// The library looks at IP addresses, and puts names last; these are for a proxy.
		names, ips := split(kind, madns.Matches)
		rank := swarm.DefaultDialRanker(ips)
		for _, a := range names {
			rank = append(rank, network.AddrDelay{Addr: a})
		}
		delayAll(rank, delay)
		ranked = append(ranked, rank...)
		delay += kindDelay
	}
	return ranked
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
