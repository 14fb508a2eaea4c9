package limits

// A repair of github.com/libp2p/go-libp2p v0.51.0: to open and end streams costs a peer nothing.
// Upstream: https://github.com/libp2p/go-libp2p/issues/759. The file may go when streams can be
// limited by rate.

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host/route"
)

// A stream is wasted that ends before it was used, or that is over a limit. Each costs some 50 µs,
// however little its opener pays, so a peer that wastes many is shut out for a while. An honest
// burst over a limit, of a thousand calls at once, is not near these.
const (
	wasteRate   = 50 // streams a second
	wasteBurst  = 2000
	shutOutTime = time.Minute
	// Connections a second from an address of which a peer is shut out: a handshake costs 1 ms.
	// Others behind the address share them.
	shutOutAccepts = 10
	shutOutBurst   = 20
)

// waste counts the streams that peers waste.
type waste struct {
	log *slog.Logger

	mu    sync.Mutex
	net   network.Network // nil before begin and after end
	peers *simplelru.LRU[peer.ID, *wasteful]
	ways  *simplelru.LRU[way, *wasteful]

	closing sync.WaitGroup
}

// way is where connections come from: an address of their own, or that of a relay.
type way struct {
	addr    netip.Addr
	circuit bool
}

// wasteful is a peer that has wasted a stream, or the way of one that is shut out.
type wasteful struct {
	left  *rate.Limiter
	until time.Time // shut out, if that is to come
}

func newWaste(log *slog.Logger) *waste {
	return &waste{
		log:   log,
		peers: newLRU[peer.ID, *wasteful](libraryBudgets), ways: newLRU[way, *wasteful](libraryBudgets),
	}
}

// wasted counts one stream of a peer, and shuts the peer out if that is one too many.
func (w *waste) wasted(p peer.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.peers.Get(p)
	if !ok {
		o = &wasteful{left: rate.NewLimiter(wasteRate, wasteBurst)}
		w.peers.Add(p, o)
	}
	now := time.Now()
	if o.left.AllowN(now, 1) || now.Before(o.until) {
		return
	}
	o.until = now.Add(shutOutTime)
	w.log.Warn("a peer opens too many streams without using them; its connections are refused for a while",
		"peer", p, "time", shutOutTime)
	if w.net != nil {
		conns := w.net.ConnsToPeer(p)
		w.closing.Go(func() { closeAll(conns) })
	}
}

// begin notes the network, which is made after what stands in front of it.
func (w *waste) begin(n network.Network) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.net = n
}

// end returns when no connection is being closed any more, and none will be.
func (w *waste) end() {
	w.begin(nil)
	w.closing.Wait()
}

func closeAll(conns []network.Conn) {
	for _, c := range conns {
		_ = c.CloseWithError(network.ConnRateLimited)
	}
}

// isShutOut reports whether a peer may not connect now. Its address then has few connections.
func (w *waste) isShutOut(p peer.ID, from network.ConnMultiaddrs) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.peers.Peek(p)
	if !ok || !time.Now().Before(o.until) {
		return false
	}
	if by, ok := wayOf(from.RemoteMultiaddr()); ok {
		if _, known := w.ways.Get(by); !known {
			w.ways.Add(by, &wasteful{rate.NewLimiter(shutOutAccepts, shutOutBurst), o.until})
		}
	}
	return true
}

func wayOf(a multiaddr.Multiaddr) (way, bool) {
	addr, ok := route.IP(a)
	return way{addr, ok && route.IsCircuit(a)}, ok
}

// crowded reports whether a connection comes a way that has had its share, because of a peer that
// is shut out.
func (w *waste) crowded(from network.ConnMultiaddrs) bool {
	by, ok := wayOf(from.RemoteMultiaddr())
	if !ok {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.ways.Peek(by)
	if !ok {
		return false
	}
	now := time.Now()
	if !now.Before(o.until) {
		w.ways.Remove(by)
		return false
	}
	return !o.left.AllowN(now, 1)
}

// wasteGater refuses connections of peers that are shut out, in front of another gater.
type wasteGater struct {
	connmgr.ConnectionGater
	waste *waste
}

func (g *wasteGater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return !g.waste.crowded(c) && g.ConnectionGater.InterceptAccept(c)
}

func (g *wasteGater) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	if d == network.DirInbound && g.waste.isShutOut(p, c) {
		return false
	}
	return g.ConnectionGater.InterceptSecured(d, p, c)
}

// wasteResources count the streams that a peer wastes. They stand in front of all others.
type wasteResources struct {
	network.ResourceManager
	waste *waste
}

func (r *wasteResources) OpenStream(p peer.ID, d network.Direction) (network.StreamManagementScope, error) {
	s, err := r.ResourceManager.OpenStream(p, d)
	if d != network.DirInbound {
		return s, err
	}
	if err != nil {
		r.waste.wasted(p)
		return nil, err
	}
	return &wasteScope{StreamManagementScope: s, waste: r.waste, peer: p}, nil
}

// wasteScope lasts as long as a stream that a peer has opened.
type wasteScope struct {
	network.StreamManagementScope
	waste *waste
	peer  peer.ID
	used  atomic.Bool // or counted
}

func (s *wasteScope) Done() {
	if !s.used.Swap(true) {
		s.waste.wasted(s.peer)
	}
	s.StreamManagementScope.Done()
}

// usedStream is a stream whose protocol was chosen: it was used when anything was read from it or
// written to it.
type usedStream struct {
	network.Stream
	scope *wasteScope
}

// noteUse returns a stream that notes in its scope that it was used.
func noteUse(s network.Stream) network.Stream {
	if scope, ok := s.Scope().(*wasteScope); ok {
		return &usedStream{s, scope}
	}
	return s
}

func (s *usedStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.use(n)
	return n, err
}

func (s *usedStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.use(n)
	return n, err
}

func (s *usedStream) use(n int) {
	if n > 0 && !s.scope.used.Load() {
		s.scope.used.Store(true)
	}
}
