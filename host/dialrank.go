package host

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

const (
	// quicDelay is the head start of the one over the other: a round trip, as RFC 8305 has it.
	quicDelay = 250 * time.Millisecond
	// toldDelay is the head start of addresses that this node trusts over those that others have told of.
	toldDelay = 500 * time.Millisecond

	// dialsPerPeer is how many addresses of one peer are dialled at a time. With the library's eight, the addresses that a moving
	// machine leaves behind, each silent for 5 s, keep the way by a relay waiting that would be good at once.
	dialsPerPeer = 32

	maxRelayAddrs = 256
	maxGivenAddrs = 4096
)

func init() { swarm.DefaultPerPeerRateLimit = dialsPerPeer } // the library offers it as a variable only

// dialOrder knows in which order the addresses of a peer are dialled.
type dialOrder struct {
	// relays are addresses of relays. These are dialled by QUIC first: hole punching works over UDP, and only one who has sent a
	// relay something by UDP learns how its NAT maps that.
	relays addrSet
	// given are addresses that the owner has named or where this node has reached a peer. They are dialled before those
	// that somebody has told of, who could name so many that the good one has no turn.
	given addrSet
}

func newDialOrder() *dialOrder {
	return &dialOrder{relays: addrSet{most: maxRelayAddrs}, given: addrSet{most: maxGivenAddrs}}
}

// addrSet is a set of addresses that forgets some when there are too many.
type addrSet struct {
	most int

	mu    sync.RWMutex // guards addrs
	addrs map[string]struct{}
}

func (s *addrSet) add(addrs ...multiaddr.Multiaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addrs == nil {
		s.addrs = make(map[string]struct{})
	}
	for _, a := range addrs {
		s.addrs[string(a.Bytes())] = struct{}{}
		for old := range s.addrs {
			if len(s.addrs) <= s.most {
				break
			}
			delete(s.addrs, old) // any: those in use are added again with each dial
		}
	}
}

func (s *addrSet) has(a multiaddr.Multiaddr) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.addrs[string(a.Bytes())]
	return ok
}

// rank orders the addresses of a peer as libp2p does, but with TCP before QUIC. When a machine's process is killed,
// its kernel ends a TCP connection at once, while a QUIC connection looks alive for 30 s more; and a round trip on a kept
// stream takes less over TCP. QUIC is there for where TCP does not get through, and a relay for where neither does.
func (o *dialOrder) rank(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	circuits, direct := split(addrs, isCircuit)
	relay := slices.ContainsFunc(direct, o.relays.has)
	given, told := split(direct, o.given.has)
	var ways []network.AddrDelay // by relays; they come before what is only told of
	for _, a := range circuits {
		ways = append(ways, network.AddrDelay{Addr: a})
	}
	ranked := rankDirect(given, relay)
	if len(direct) > 0 {
		delayAll(ways, swarm.RelayDelay)
	}
	ranked = append(ranked, ways...)
	later := rankDirect(told, relay)
	if len(given) > 0 {
		delayAll(later, toldDelay)
	}
	ranked = append(ranked, later...)
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return int(a.Delay - b.Delay) })
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
