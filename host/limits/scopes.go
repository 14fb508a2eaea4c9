package limits

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/pbnjay/memory"
)

// The library's defaults are made for a public network of strangers: 8 connections for an address,
// 16 new ones in a burst, some hundred in all. A fleet sits behind a few addresses and comes back
// all at once after a power cut, so everything here is sized from the number of peers instead.
const (
	// connsPerPeer is inbound; a controller's commands are separate processes with one identity.
	connsPerPeer = 64
	// streamsPerPeer is each way, and above our own limit of 128 for a family, whose refusal tells
	// the reason.
	streamsPerPeer = 1024
	streamShare    = 32        // streams a peer has on average, for the sum over all peers
	minStreams     = 4096      // so that a small MaxPeers does not limit one busy peer
	streamWindow   = 256 << 10 // bytes the muxer reserves for each stream
	// minMemory, in bytes, is above what the strangers of a worker can reserve, at 4 MiB each.
	minMemory = 512 << 20
	// A stranger greets, asks for a place in the fleet, and is asked what it is; each stream may
	// leave a whole window unread.
	strangerStreams = 4 // each way
	strangerMemory  = 2 * strangerStreams * streamWindow
	gracePeriod     = 30 * time.Second
	// rejoinTime is the seconds in which a whole fleet behind one address may come back, after the
	// burst.
	rejoinTime = 10
)

// newResourceManager bounds what peers may use, for up to maxPeers of them.
// Where there are members, all others get the little of strangerLimits.
func newResourceManager(maxPeers int, member func(peer.ID) bool) (network.ResourceManager, error) {
	limiter := rcmgr.NewFixedLimiter(resourceLimits(maxPeers, int64(memory.TotalMemory())))
	if member != nil {
		limiter = &memberLimiter{limiter, member}
	}
	return rcmgr.NewResourceManager(
		limiter,
		rcmgr.WithLimitPerSubnet(subnetLimits(maxPeers)),
		rcmgr.WithConnRateLimiters(connRate(maxPeers)),
		// Loopback is exempt by the library's default; WithNetworkPrefixLimit would replace that.
	)
}

// newConnManager trims idle connections above maxPeers, those with the lowest tags first.
func newConnManager(maxPeers int) (*connmgr.BasicConnMgr, error) {
	return connmgr.NewConnManager(maxPeers, maxPeers+maxPeers/4+16, connmgr.WithGracePeriod(gracePeriod))
}

// resourceLimits is what the node grants in all, to connections in their handshake, and to each
// peer and protocol. The number of file descriptors stays as the library derives it from the
// process' own limit.
func resourceLimits(maxPeers int, totalMemory int64) rcmgr.ConcreteLimitConfig {
	streams := max(minStreams, maxPeers*streamShare)
	mem := max(minMemory, min(int64(streams)*streamWindow, totalMemory/2))
	conns := 2*maxPeers + 64 // a peer may hold a TCP and a QUIC connection while they race

	all := bounds(conns, streams, mem)
	handshakes := bounds(handshakesFor(maxPeers), 4*maxPeers+512, mem/2)
	family := bounds(0, streams, mem/2)
	onePeer := bounds(connsPerPeer, streamsPerPeer, min(mem/2, streamsPerPeer*streamWindow))
	onePeerFamily := bounds(0, streamsPerPeer, min(mem/2, streamsPerPeer*streamWindow))

	partial := rcmgr.PartialLimitConfig{
		System:              all,
		Transient:           handshakes,
		ServiceDefault:      family,
		ServicePeerDefault:  onePeerFamily,
		ProtocolDefault:     family,
		ProtocolPeerDefault: onePeerFamily,
		PeerDefault:         onePeer,
		// Every connection begins with these; the library's sums would fail the rest of a large
		// fleet.
		Service:  map[string]rcmgr.ResourceLimits{identify.ServiceName: bounds(0, conns, mem/4), ping.ServiceName: bounds(0, conns, mem/4)},
		Protocol: map[protocol.ID]rcmgr.ResourceLimits{},
	}
	// As a relay, a circuit is a stream on either side, and one peer may have as many as there are
	// peers.
	circuits := bounds(0, conns, mem/2)
	partial.Service[relay.ServiceName] = circuits
	partial.ServicePeer = map[string]rcmgr.ResourceLimits{relay.ServiceName: circuits}
	partial.ProtocolPeer = map[protocol.ID]rcmgr.ResourceLimits{proto.ProtoIDv2Hop: circuits, proto.ProtoIDv2Stop: circuits}
	partial.Protocol[proto.ProtoIDv2Hop], partial.Protocol[proto.ProtoIDv2Stop] = circuits, circuits
	// All circuits to a relay are streams of one connection, and when the fleet comes back all are
	// punched at once.
	punches := bounds(0, conns, mem/4)
	partial.Service[holepunch.ServiceName], partial.Protocol[holepunch.Protocol] = punches, punches
	for _, id := range []protocol.ID{identify.ID, identify.IDPush, ping.ID} {
		partial.Protocol[id] = bounds(0, conns, mem/4)
	}
	base := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&base)
	return partial.Build(base.AutoScale())
}

// handshakesFor is how many connections may be in their handshake, in each direction.
func handshakesFor(maxPeers int) int { return maxPeers/2 + 64 }

// memberLimiter gives peers that are no members less. A peer that becomes one has more at once.
type memberLimiter struct {
	rcmgr.Limiter
	member func(peer.ID) bool
}

func (l *memberLimiter) GetPeerLimits(p peer.ID) rcmgr.Limit {
	return &peerLimit{l.Limiter.GetPeerLimits(p), p, l.member}
}

// peerLimit is the limit of one peer, which depends on what it is now.
type peerLimit struct {
	rcmgr.Limit
	peer   peer.ID
	member func(peer.ID) bool
}

func (l *peerLimit) GetMemoryLimit() int64 {
	if l.member(l.peer) {
		return l.Limit.GetMemoryLimit()
	}
	return strangerMemory
}

func (l *peerLimit) GetStreamLimit(d network.Direction) int {
	if l.member(l.peer) {
		return l.Limit.GetStreamLimit(d)
	}
	return strangerStreams
}

func (l *peerLimit) GetStreamTotalLimit() int {
	if l.member(l.peer) {
		return l.Limit.GetStreamTotalLimit()
	}
	return 2 * strangerStreams
}

// bounds limits connections and streams, in each direction and in sum, and memory in bytes. Zero
// leaves a default.
func bounds(conns, streams int, mem int64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns: rcmgr.LimitVal(2 * conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(conns),
		Streams: rcmgr.LimitVal(2 * streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
		Memory: rcmgr.LimitVal64(mem),
	}
}

// subnetLimits lets the whole fleet sit behind one address, twice.
func subnetLimits(maxPeers int) (v4, v6 []rcmgr.ConnLimitPerSubnet) {
	conns := 2*maxPeers + 64
	return []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: conns}},
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: conns}}
}

// connRate lets the whole fleet come back from one address at once, and then again every ten
// seconds.
func connRate(maxPeers int) *rate.Limiter {
	limit := rate.Limit{RPS: max(1, float64(maxPeers)/rejoinTime), Burst: 2*maxPeers + 64}
	return &rate.Limiter{
		NetworkPrefixLimits: loopbackUnlimited(),
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
			GracePeriod:      time.Minute,
		},
	}
}

func loopbackUnlimited() []rate.PrefixLimit {
	var out []rate.PrefixLimit
	for _, l := range slices.Concat(rcmgr.DefaultNetworkPrefixLimitV4, rcmgr.DefaultNetworkPrefixLimitV6) {
		out = append(out, rate.PrefixLimit{Prefix: l.Network})
	}
	return out
}
