// Package host is a libp2p node with a lasting identity that finds its peers and stays connected with them.
//
//	h, err := host.New(host.Config{StateDir: dir, Bootstrap: peers, MDNS: true, Logger: log})
//	if err != nil {
//		return err
//	}
//	defer h.Close()
//	h.SetStreamHandler("/my/1.0.0", handle) // or a streams.Mux on h
//	if err := h.Listen(); err != nil {      // only now others get in
//		return err
//	}
//	return h.Run(ctx) // discovery and reconnecting, until ctx ends
//
// A Host is a libp2p host.Host with limits sized for a fleet instead of for strangers, an address book of saved peers, and
// its own reconnect loop. It knows nothing of messages or of who may do what: packages streams and host/trust do.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

// punchTimeout is for one attempt to meet in the middle of two NATs.
const punchTimeout = 3 * time.Second

// ErrClosed comes from a Host after Close.
var ErrClosed = errors.New("host is closed")

// Host is a node. Make one with New; its methods may be called concurrently.
type Host struct {
	corehost.Host // the libp2p node

	cfg      Config
	log      *slog.Logger
	book     *Book
	dht      *discovery.DHT // nil without
	finders  []discovery.Finder
	reported *discovery.Reported
	found    *foundPeers
	keeper   *keeper
	seen     sightings

	standings  *standings
	public     atomic.Bool // others were able to dial this node
	reserved   *reservations
	order      *dialOrder
	observers  observers
	learned    learned
	interfaces interfaces
	improver   *improver
	relay      *relayService // nil without
	waste      *waste

	listening sync.Mutex // serializes Listen

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.Mutex // held by Run
	closing sync.Once
	closed  error
}

// New makes a node. It is not reachable before Listen, and dials nobody before Run or Connect. Close it in the end.
func New(cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.StateDir != "" {
		if err := privateDir(cfg.StateDir); err != nil {
			return nil, err
		}
	}
	if cfg.Identity == nil {
		if cfg.Identity, err = LoadOrCreateIdentity(filepath.Join(cfg.StateDir, identityFile)); err != nil {
			return nil, err
		}
	}
	book, err := openBookIn(cfg)
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, log: cfg.Logger, book: book, found: newFoundPeers(),
		reserved: newReservations(), improver: newImprover(),
	}
	h.order = newDialOrder(h.direct)
	h.waste = newWaste(h.log)
	if h.Host, err = newNode(cfg, h.announced, h.order.rank, h.waste); err != nil {
		return nil, err
	}
	h.waste.begin(h.Network())
	h.life, h.end = context.WithCancel(context.Background())
	h.Network().SetStreamHandler(newIncoming(h.life, h.Host, cfg.Member).handle)
	h.keeper = newKeeper(h.dial, h.savedRelay, h.log)
	h.standings = newStandings(h.worthRemembering)
	for _, m := range book.All() {
		if m.Role == roleRelay {
			h.order.relays.add(m.AddrInfo().Addrs...)
		}
	}
	for _, p := range cfg.Bootstrap {
		h.Keep(p)
	}
	if err := errors.Join(h.addFinders(), h.startRelay()); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// announced are the addresses others are told, given those the library knows of.
func (h *Host) announced(own []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if h.cfg.NoListen {
		return nil
	}
	own = h.interfaces.correct(own, func() []multiaddr.Multiaddr { return h.Network().ListenAddresses() }, time.Now())
	return fitRecord(slices.Concat(own, h.cfg.External, h.learned.addrs(own, h.isMember), h.reserved.addrs()))
}

// isMember tells whether a peer is a member; nobody is where there are none.
func (h *Host) isMember(p peer.ID) bool { return h.cfg.Member != nil && h.cfg.Member(p) }

func openBookIn(cfg Config) (*Book, error) {
	if cfg.StateDir == "" {
		return OpenBook("", cfg.Logger)
	}
	return OpenBook(BookDir(cfg.StateDir), cfg.Logger)
}

// newNode puts libp2p together: TCP, QUIC, WebSocket and circuits; Noise; yamux; our limits; no listener. announced
// makes of the node's addresses those that others are told, rank orders those of others.
func newNode(cfg Config, announced func([]multiaddr.Multiaddr) []multiaddr.Multiaddr, rank network.DialRanker, w *waste) (corehost.Host, error) {
	resources, err := newResourceManager(cfg.MaxPeers, cfg.Member)
	if err != nil {
		return nil, fmt.Errorf("limit resources: %w", err)
	}
	conns, err := newConnManager(cfg.MaxPeers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("limit connections: %w", err), resources.Close())
	}
	if cfg.Member != nil {
		resources = &guardedResources{resources, cfg.Member}
	}
	half := newHalfOpen(handshakesFor(cfg.MaxPeers))
	resources = &wasteResources{&halfOpenResources{resources, half}, w}
	reach, err := reachOptions(cfg, half, w)
	if err != nil {
		return nil, errors.Join(err, conns.Close(), resources.Close())
	}
	options := append(reach,
		libp2p.Identity(cfg.Identity),
		libp2p.UserAgent(cfg.UserAgent),
		libp2p.NoListenAddrs, // Listen does it
		libp2p.AddrsFactory(announced),
		streamSecurity(),
		libp2p.Muxer(yamux.ID, newMuxer(cfg.Member)),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
		libp2p.PrometheusRegisterer(cfg.Metrics),
		libp2p.SwarmOpts(swarm.WithDialRanker(rank)),
		// After a hundred failed dials, as in a night without a link, these would try only every hundredth.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	)
	node, err := libp2p.New(append(options, cfg.Options...)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start libp2p: %w", err), conns.Close(), resources.Close())
	}
	return node, nil
}

// reachOptions are the ways to others and from others.
func reachOptions(cfg Config, half *halfOpen, w *waste) ([]libp2p.Option, error) {
	options := []libp2p.Option{
		libp2p.EnableRelay(), // the transport; to serve as a relay is startRelay's
		// To dial from the port one listens on would make two nodes that dial each other meet halfway, both as the one who
		// dials; and a node that is started again at once could not dial those it was connected with. Holes are punched by QUIC.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(websocket.New),
	}
	if len(cfg.NetworkKey) > 0 {
		options = append(options, libp2p.PrivateNetwork(cfg.NetworkKey))
	} else {
		quic, err := quicTransport()
		if err != nil {
			return nil, err
		}
		options = append(options, quic)
	}
	options = append(options, libp2p.ConnectionGater(&wasteGater{&halfOpenGater{cfg.gater(), half}, w}))
	if cfg.NoListen {
		return options, nil
	}
	if !cfg.NoHolePunching {
		options = append(options, libp2p.EnableHolePunching(holepunch.DirectDialTimeout(punchTimeout)))
	}
	if cfg.PortMap {
		options = append(options, libp2p.NATManager(func(net network.Network) basichost.NATManager { return newPortMapper(net, cfg.Logger) }))
	}
	if cfg.AutoNAT && len(cfg.NetworkKey) == 0 {
		options = append(options, libp2p.EnableAutoNATv2())
	}
	return options, nil
}

// Book is the address book of this node.
func (h *Host) Book() *Book { return h.book }

// Run looks for peers, keeps the connections to bootstrap and kept peers up, and saves good addresses. It returns when ctx
// ends or the Host is closed, and then nothing that it started is running. A second Run waits for the first.
func (h *Host) Run(ctx context.Context) error {
	h.running.Lock()
	defer h.running.Unlock()
	if h.life.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.life, cancel)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer stop()

	events, err := h.watchPeers()
	if err != nil {
		return err
	}
	failed, err := h.watchUnidentified()
	if err != nil {
		return errors.Join(err, events.Close())
	}
	defer h.watchConns()()
	wg.Go(func() { h.followPeers(ctx, events) })
	wg.Go(func() { h.identifyAgain(ctx, failed) })
	wg.Go(func() { h.watchInterfaces(ctx) })
	wg.Go(func() { h.saveSightings(ctx) })
	wg.Go(func() { h.keeper.run(ctx) })
	wg.Go(func() { h.keepReserved(ctx) })
	wg.Go(func() { h.watchRelays(ctx) })
	wg.Go(func() { h.improvePaths(ctx) })
	wg.Go(func() { h.keepQuiet(ctx) })
	for _, f := range h.finders {
		wg.Go(func() { h.follow(ctx, f) })
	}
	<-ctx.Done()
	return nil
}

// Close ends Run and all connections, and frees everything. It may be called again.
func (h *Host) Close() error {
	h.closing.Do(func() {
		h.end()
		h.running.Lock() // Run has returned
		defer h.running.Unlock()
		if h.dht != nil {
			h.closed = h.dht.Close()
		}
		if h.relay != nil {
			h.closed = errors.Join(h.closed, h.relay.Close())
		}
		h.waste.end()
		h.closed = errors.Join(h.closed, h.Host.Close())
	})
	return h.closed
}
