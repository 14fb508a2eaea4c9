package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: holes are punched once for each circuit, when it
// opens, by the end that did not open it, and not at all where that end still holds a dead direct
// connection or does not know its public address yet. Upstream: no issue is known, see
// docs/upstream.md. The file may go when the library punches again and again.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	punchTimeout  = 3 * time.Second // for one attempt to meet in the middle of two NATs
	answerTimeout = time.Second     // for a connection that the peer seems to know nothing of
)

var (
	// errNoPublicAddr means that no hole can be punched yet: no peer has said where it sees this node.
	errNoPublicAddr = errors.New("no public address is known of this node")
	errDialled      = errors.New("its addresses are dialled already")
	// errNotNow ends the library's own attempts, and all but the first round of those of Improver.
	errNotNow = errors.New("a hole is punched when Improver says so")
)

// Puncher makes direct paths through NATs to peers that are reached by a circuit. At both ends the
// library does the work.
type Puncher struct {
	host corehost.Host
	cfg  PuncherConfig

	followed  map[network.Conn]bool // of follow alone
	following sync.WaitGroup

	rounds *rounds

	mu      sync.Mutex // guards service
	service *holepunch.Service
}

// rounds are those that were asked for. By itself the library makes three in a row for each circuit; on
// a slow link with many machines that is more than all else.
type rounds struct {
	mu    sync.Mutex // guards what follows
	asked map[peer.ID]bool
	met   *simplelru.LRU[peer.ID, string] // at which IP address a peer was to be met
}

// rememberMet bounds the peers of which is known where they were to be met.
const rememberMet = 4096

func newRounds() *rounds {
	met, err := simplelru.NewLRU[peer.ID, string](rememberMet, nil)
	if err != nil {
		panic(err) // of a size below 1 only
	}
	return &rounds{asked: make(map[peer.ID]bool), met: met}
}

// ask allows one round with a peer.
func (r *rounds) ask(p peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[p] = true
}

// take reports whether a round with a peer was allowed, and allows no more.
func (r *rounds) take(p peer.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer delete(r.asked, p)
	return r.asked[p]
}

// meet notes where a peer is to be met.
func (r *rounds) meet(p peer.AddrInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ip, err := manet.ToIP(p.Addrs[0]); err == nil {
		r.met.Add(p.ID, ip.String())
	}
}

// PuncherConfig says what a Puncher works with.
type PuncherConfig struct {
	// IDs returns the identify service of the host.
	IDs func() identify.IDService
	// Addrs returns the public addresses of this node without circuits, as far as they are known.
	Addrs func() []multiaddr.Multiaddr
	// IsRelay reports whether a connected peer is a relay; Observed is told where one sees this node now.
	IsRelay  func(peer.ID) bool
	Observed func(network.Conn, multiaddr.Multiaddr)
	// Metrics gets the library's numbers.
	Metrics prometheus.Registerer
}

// NewPuncher returns a Puncher for h.
func NewPuncher(h corehost.Host, cfg PuncherConfig) *Puncher {
	return &Puncher{host: h, cfg: cfg, rounds: newRounds()}
}

// start begins to serve the protocol as soon as a public address is known, until stop is called. The
// library would look for that address more and more rarely.
func (p *Puncher) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.service != nil || len(p.cfg.Addrs()) == 0 {
		return nil
	}
	tracer := holepunch.NewMetricsTracer(holepunch.WithRegisterer(p.cfg.Metrics))
	service, err := holepunch.NewService(&eitherEnd{p.host, ctx, p.rounds}, p.cfg.IDs(), p.cfg.Addrs,
		holepunch.DirectDialTimeout(punchTimeout), holepunch.WithMetricsTracer(tracer))
	if err != nil {
		return fmt.Errorf("serve hole punching: %w", err)
	}
	p.service = service
	return nil
}

// stop ends what start and follow began, after their context.
func (p *Puncher) stop() error {
	p.following.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.service == nil {
		return nil
	}
	err := p.service.Close()
	p.service = nil
	return err
}

// punch makes a direct path to a peer, or returns why there is none. It ends with the context of
// start.
func (p *Puncher) punch(id peer.ID) error {
	p.mu.Lock()
	service := p.service
	p.mu.Unlock()
	if service == nil {
		return errNoPublicAddr
	}
	p.rounds.ask(id)
	defer p.rounds.take(id)
	return service.DirectConnect(id)
}

// met returns at which IP address a peer was to be met last, empty if it never was.
func (p *Puncher) met(id peer.ID) string {
	p.rounds.mu.Lock()
	defer p.rounds.mu.Unlock()
	at, _ := p.rounds.met.Get(id)
	return at
}

// follow has all connected relays that were dialled by QUIC say where they see this node, for as long as
// the connections last. It is called by one goroutine, whenever connections have changed; what it
// starts ends with ctx.
func (p *Puncher) follow(ctx context.Context) {
	open := make(map[network.Conn]bool)
	for _, c := range p.host.Network().Conns() {
		if c.Stat().Direction != network.DirOutbound || route.Of(c) != route.Direct ||
			!route.IsQUIC(c.RemoteMultiaddr()) || !p.cfg.IsRelay(c.RemotePeer()) {
			continue
		}
		open[c] = true
		if !p.followed[c] {
			p.following.Go(func() { _ = followObserved(ctx, c, p.cfg.Observed) })
		}
	}
	p.followed = open
}

// eitherEnd is a host on which both ends of a circuit may begin to punch, one round at a time and when
// it was asked for, and on which the library's waiting for an answer, of up to a minute, ends with a
// context.
type eitherEnd struct {
	corehost.Host
	ctx    context.Context
	rounds *rounds
}

// Connect dials where the two are to meet. The library begins with all addresses that it knows, and
// waits for those where nobody answers; they are dialled beside it by Improver.
func (e *eitherEnd) Connect(ctx context.Context, p peer.AddrInfo) error {
	if len(p.Addrs) == 0 {
		return errDialled
	}
	e.rounds.meet(p)
	return e.Host.Connect(ctx, p)
}

func (e *eitherEnd) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if !e.rounds.take(p) {
		return nil, errNotNow
	}
	s, err := e.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &endingStream{s, context.AfterFunc(e.ctx, func() { s.Reset() })}, nil
}

// SetStreamHandler has the library take a stream of the peer that has dialled for one of the peer that
// was dialled, the only one that it has begin. Who asks for a hole has no direct connection: those that
// are left at this end, beside which the library would punch none, are closed when they are dead.
func (e *eitherEnd) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	e.Host.SetStreamHandler(id, func(s network.Stream) {
		e.closeDead(s.Conn().RemotePeer())
		handle(&endingStream{dialledStream{s}, context.AfterFunc(e.ctx, func() { s.Reset() })})
	})
}

// closeDead closes the direct connections with a peer that do not answer.
func (e *eitherEnd) closeDead(p peer.ID) {
	var asking sync.WaitGroup
	for _, c := range e.Network().ConnsToPeer(p) {
		if route.Of(c) == route.Relay {
			continue
		}
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(e.ctx, answerTimeout)
			defer cancel()
			if s, err := openStream(ctx, c, ping.ID); err == nil {
				s.Reset()
			} else if ctx.Err() != nil && e.ctx.Err() == nil {
				c.Close()
			}
		})
	}
	asking.Wait()
}

// endingStream frees what watches over it when it ends.
type endingStream struct {
	network.Stream
	free func() bool
}

func (s *endingStream) Close() error { s.free(); return s.Stream.Close() }
func (s *endingStream) Reset() error { s.free(); return s.Stream.Reset() }

type dialledStream struct{ network.Stream }

func (s dialledStream) Conn() network.Conn { return dialledConn{s.Stream.Conn()} }

type dialledConn struct{ network.Conn }

func (c dialledConn) Stat() network.ConnStats {
	stat := c.Conn.Stat()
	stat.Direction = network.DirOutbound
	return stat
}
