// Package host is a libp2p node with a lasting identity that finds its peers and stays connected
// with them.
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
// A Host is a libp2p host.Host with limits sized for a fleet instead of for strangers, an address
// book of saved peers, and its own reconnect loop. It knows nothing of messages or of rights:
// packages streams and host/trust do. It only wires: each part of it with a loop of its own is a
// package below.
package host

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/identify"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/relay"
	"github.com/seed-b490fa12/swarm/host/route"
)

// ProtectTag is for apps, to protect peers by ConnManager().Protect: their connections are never
// given up.
const ProtectTag = "swarm-protected"

// ErrClosed comes from a Host after Close.
var ErrClosed = dial.Errorf(nil, "host is closed")

// Host is a node. Make one with New; its methods may be called concurrently.
type Host struct {
	corehost.Host // the libp2p node

	cfg Config
	log *slog.Logger

	book      *book.Book
	sightings *book.Sightings

	keeper    *keep.Keeper
	standings *keep.Standings
	follower  *keep.Follower
	quiet     *keep.Quiet

	dht      *discovery.DHT // nil without
	reported *discovery.Reported
	finders  []discovery.Finder
	again    *identify.Again

	interfaces *reach.Interfaces
	changes    discovery.Changes // of the machine's network
	learned    *reach.Learned
	observers  reach.Observers
	public     atomic.Bool // others were able to dial this node

	liveness liveness.Watch

	circuits *relay.Circuits
	reserved *relay.Reservations
	improver *relay.Improver
	relay    *relay.Service // nil without

	names   *names.Resolver
	dialer  *dial.Dialer
	order   *dial.Order
	lookup  *dial.Lookup // nil without a DHT
	explain *dial.Explainer
	listen  *listener
	limits  *limits.Limits

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.Mutex // held by Run
	closing sync.Once
	closed  error
}

// New makes a node. It is not reachable before Listen, and dials no peer before Run or Connect.
// Close it in the end.
func New(cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	saved := ""
	if cfg.StateDir != "" {
		if err := identity.MakeDir(cfg.StateDir); err != nil {
			return nil, err
		}
		saved = book.Dir(cfg.StateDir)
	}
	if cfg.Identity == nil {
		if cfg.Identity, err = identity.LoadOrCreate(identity.Path(cfg.StateDir)); err != nil {
			return nil, err
		}
	}
	h := &Host{cfg: cfg, log: cfg.Logger}
	if h.book, err = book.Open(saved, cfg.Logger); err != nil {
		return nil, err
	}
	late := &lateHost{}
	h.wire(late)
	gater := &limits.Networks{ConnectionGater: cfg.Gater, Allow: cfg.AllowNets, Deny: cfg.DenyNets}
	h.limits, err = limits.New(limits.Config{MaxPeers: cfg.MaxPeers, Member: cfg.Member, Gater: gater, Logger: h.log})
	if err != nil {
		return nil, err
	}
	if h.Host, err = newNode(cfg, h.limits, h.announced, h.order.Rank, h.names); err != nil {
		h.names.Close()
		return nil, err
	}
	late.Host = h.Host
	h.limits.Start(h.Host)
	h.life, h.end = context.WithCancel(context.Background())
	for _, p := range h.book.Relays() {
		h.order.Relay(p.Addrs...)
	}
	for _, p := range cfg.Bootstrap {
		h.Keep(p)
	}
	err = h.addFinders()
	if err == nil && cfg.Relay {
		limits.Serve(h.Host, cfg.Admit, relay.ObservedProtocol, relay.TellObserved(h.life))
		h.relay, err = relay.NewService(limits.Guard(h.Host, cfg.Admit), cfg.MaxPeers, cfg.RelayFor)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// lateHost is the libp2p node for parts that are made before it, because it asks some of them while
// it starts.
type lateHost struct{ corehost.Host }

// wire makes the parts, and gives each the functions that it needs of the others.
func (h *Host) wire(n corehost.Host) {
	cfg := h.cfg
	busy := func(c network.Conn) bool { return route.Busy(c, cfg.ProtocolPrefix) }
	h.order = dial.NewOrder(func(p peer.ID) bool { return route.IsDirect(n.Network(), p) })
	h.names = names.New(cfg.dns, reach.Only6)
	h.dialer = &dial.Dialer{Host: n, Names: h.names, Order: h.order}
	h.explain = &dial.Explainer{
		Hint:  cfg.hint,
		Keyed: len(cfg.NetworkKey) > 0,
		Name:  func(p peer.ID) string { e, _ := h.book.Get(p); return e.Name },
		Answered: func(p peer.ID, a multiaddr.Multiaddr) {
			if p == h.ID() {
				h.heardSelf("dial", []multiaddr.Multiaddr{a})
			}
		},
	}
	h.circuits = relay.NewCircuits(n, relay.CircuitsConfig{
		Book: h.book, Trusted: h.trusted, Open: cfg.Member == nil, Admit: cfg.Admit,
		Connect: h.dialer.Connect, ConnectAgain: h.dialer.ConnectAgain, Learn: h.order.Relay,
		Silent: h.order.Silent,
	})
	h.keeper = keep.NewKeeper(keep.KeeperConfig{
		Dial: h.dial, IsRelay: h.circuits.IsRelay, Logger: h.log,
		Connected: func(p peer.ID) bool { return h.Network().Connectedness(p) == network.Connected }, Claim: h.claim,
	})
	h.standings = keep.NewStandings(h.matters)
	h.sightings = book.NewSightings(h.book, n, book.SightingsConfig{
		Kept: h.keeper.Has, Member: cfg.Member, Lasting: h.names.Lasting, NoHints: cfg.NoListen, Logger: h.log,
	})
	h.follower = keep.NewFollower(n, keep.FollowerConfig{
		Connections: cfg.Connections, Dial: h.Connect, Kept: h.keeper.Has, FirstHand: h.order.Given, Found: h.found,
		Self: func(f discovery.Found) { h.heardSelf(f.Source, f.Addrs) }, Logger: h.log,
	})
	h.quiet = keep.NewQuiet(n, keep.QuietConfig{
		Code:        cfg.IdleCode,
		Connections: cfg.Connections, Needed: h.needed, Busy: busy, Logger: h.log,
		OneProcess: func(p peer.ID) bool { return h.book.HasRole(p, book.RoleWorker, book.RoleRelay) },
	})
	h.reserved = relay.NewReservations(n, h.circuits, relay.ReservationsConfig{
		Kept: h.keeper.Has, Gained: h.keeper.WakeAll, // peers may be reachable through it
		Liveness: &h.liveness, Elsewhere: Paths{h}.Elsewhere, Busy: busy, Logger: h.log,
	})
	h.improver = relay.NewImprover(n, relay.ImproverConfig{
		Addrs: h.directAddrs, Connect: h.dialer.ConnectAgain, Puncher: views{h}.puncher(n), Busy: busy, Logger: h.log,
	})
	h.again = identify.NewAgain(n, h.log)
	h.interfaces = reach.NewInterfaces(cfg.machine, reach.Sources)
	h.learned = reach.NewLearned(cfg.isMember)
	h.listen = &listener{host: n, cfg: cfg, log: h.log}
}

// trusted reports whether p is a member or, where there are none, one that this node keeps.
func (h *Host) trusted(p peer.ID) bool {
	if h.cfg.Member != nil {
		return h.cfg.Member(p)
	}
	return h.keeper.Has(p)
}

// matters reports whether what becomes of p is of interest beyond the connections with it.
func (h *Host) matters(p peer.ID) bool {
	if e, ok := h.book.Get(p); ok && !e.Hint || h.keeper.Has(p) {
		return true
	}
	return h.cfg.isMember(p)
}

// needed reports whether a connection to p is to stay. The DHT protects nearly every peer, which is
// of no use here.
func (h *Host) needed(p peer.ID) bool {
	return slices.ContainsFunc([]string{keep.Tag, relay.Tag, ProtectTag}, func(tag string) bool {
		return h.ConnManager().IsProtected(p, tag)
	})
}

// Book is the address book of this node.
func (h *Host) Book() *book.Book { return h.book }

// Standings are how this node stands with all peers it has heard of.
func (h *Host) Standings() *keep.Standings { return h.standings }

// SignedRecord is the newest signed peer record of a saved peer, or of this host itself, to be
// passed on to others: see book.Sightings.
func (h *Host) SignedRecord(p peer.ID) []byte { return h.sightings.Record(p) }

// Keep stays connected with p while Run runs: it is dialled now and whenever it is lost, every 4 s
// (8 s where nobody answers) for 10 minutes and then every 30 s. Its addresses replace those given
// before.
func (h *Host) Keep(p peer.AddrInfo) {
	if p.ID == h.ID() {
		return
	}
	h.ConnManager().Protect(p.ID, keep.Tag)
	h.keeper.Add(p)
}

// claim is what speaks for dialling a peer that is kept.
func (h *Host) claim(p peer.ID) keep.Claim {
	given := slices.ContainsFunc(h.cfg.Bootstrap, func(b peer.AddrInfo) bool { return b.ID == p })
	if h.cfg.Member == nil || given {
		return keep.Proven
	}
	e, _ := h.book.Get(p)
	switch member := h.cfg.Member(p); {
	case member && e.LastSeen > 0:
		return keep.Proven
	case member:
		return keep.Told
	}
	return keep.Doubtful
}

// Forget undoes Keep. The connection, if there is one, stays.
func (h *Host) Forget(p peer.ID) {
	h.ConnManager().Unprotect(p, keep.Tag)
	h.keeper.Remove(p)
}

// Kept reports whether this node stays connected with p.
func (h *Host) Kept(p peer.ID) bool { return h.keeper.Has(p) }

// Liveness knows how quickly the connections of this node answer.
func (h *Host) Liveness() *liveness.Watch { return &h.liveness }

// Paths finds out whether a peer that is silent is there in another way.
func (h *Host) Paths() Paths { return Paths{h} }

// Report hands on a peer that another one has named, as if discovery had found it.
func (h *Host) Report(p peer.AddrInfo) { h.reported.Report(p) }

// Found returns the peers that discovery has found lately, at most 4,096.
func (h *Host) Found() []discovery.Found { return h.follower.List() }

// Close ends Run and all connections, and frees everything. It may be called again.
func (h *Host) Close() error {
	h.closing.Do(func() {
		h.end()
		h.limits.Close()
		h.running.Lock() // Run has returned
		defer h.running.Unlock()
		if h.dht != nil {
			h.closed = h.dht.Close()
		}
		if h.relay != nil {
			h.closed = errors.Join(h.closed, h.relay.Close())
		}
		h.closed = errors.Join(h.closed, h.Host.Close())
		h.names.Close()
	})
	return h.closed
}
