package host

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// quicDelay is the head start of the one over the other: a round trip, as RFC 8305 has it.
const quicDelay = 250 * time.Millisecond

// rankDials orders the addresses of a peer as libp2p does, but with TCP before QUIC. When a machine's process is killed,
// its kernel ends a TCP connection at once, while a QUIC connection looks alive for 30 s more; and a round trip on a kept
// stream takes less over TCP. QUIC is there for where TCP does not get through, and a relay for where neither does. Relays
// themselves are dialled by QUIC first, see relayAddrs.
func (r *relayAddrs) rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	circuits, direct := split(addrs, isCircuit)
	first, second := split(direct, func(a multiaddr.Multiaddr) bool { return !isQUIC(a) })
	if slices.ContainsFunc(direct, r.has) {
		first, second = second, first
	}
	ranked := swarm.DefaultDialRanker(first)
	delay := quicDelay
	if len(first) == 0 {
		delay = 0
	}
	for _, a := range swarm.DefaultDialRanker(second) {
		a.Delay += delay
		ranked = append(ranked, a)
	}
	delay = swarm.RelayDelay
	if len(direct) == 0 {
		delay = 0
	}
	for _, a := range circuits {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: delay})
	}
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return int(a.Delay - b.Delay) })
	return ranked
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
