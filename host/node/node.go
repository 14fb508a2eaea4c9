// Package node is a ready member for apps: a host with its rights, the
// handshake, and the two ends of typed messages, in one value.
//
//	n, err := node.New(node.Config{Host: host.Config{StateDir: dir}, Name: "rig-01"})
//	if err != nil {
//		return err
//	}
//	defer n.Close()
//	err = Hello.Handle(n.Mux, sayHello)       // register message families
//	if err := n.Listen(); err != nil {        // only now others get in
//		return err
//	}
//	return n.Run(ctx)                         // until ctx ends
//
// Others are called through n.Client, as in Hello.Do(ctx, n.Client, peerID, …).
package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
)

// Config says what kind of member New makes. Its zero value lacks only an
// identity: give Host.StateDir, or Host.Identity for a node that leaves no trace.
type Config struct {
	Host host.Config
	// Role, Name and Labels are what members are told in the handshake. They
	// are display data at the other side.
	Role   string
	Name   string
	Labels map[string]string
	// Judge decides who may do what; nil means that nobody may do anything.
	Judge trust.Judge
	// Fleet is the fleet this node is a member of, and then the Judge. It also
	// gives the role, the name and the labels.
	Fleet *trust.Fleet
	// Tickets are those that this node redeems; nil means none.
	Tickets *trust.TicketBook
	// Seed tells newcomers of an open network, which has no fleet, where others are. In a fleet
	// every member tells members.
	Seed bool
	// AuditHead is the end of this node's audit log, for members to remember; nil
	// for a node without one.
	AuditHead func() streams.AuditHead
	// Sole says that one process at a time runs with this identity in this role, as is so for a worker, a relay and a controller
	// that serves, and not for commands. Such a node tells its boot in the handshake, and notices a second machine that
	// has its identity: see Twin.
	Sole bool
	// Greeted is told of each peer that answered our greeting. It runs in a
	// goroutine of its own.
	Greeted func(PeerInfo)
	// Joined is told of each machine that redeemed one of Tickets.
	Joined func(peer.ID, trust.Grant)
	// Topics are the pubsub topics this node may join; none means no pubsub.
	Topics []string
	// Limits bound what peers may use; zero fields have defaults.
	Limits streams.Limits
	// Record is asked before a request has its effect, see streams.Config.
	Record func(context.Context, streams.Recorded) (func(error), error)
	// Observe is told the outcome of each exchange, after the scores were.
	Observe func(streams.Outcome)
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Bounds on the statements that all strangers together may bring: each costs a signature check
// or two, 0.1 ms.
const (
	unknownRate  = 100 // a second
	unknownBurst = 500
)

// Node is a member. Its methods may be called concurrently.
type Node struct {
	*host.Host
	// Mux serves requests; register handlers on it before Listen.
	Mux *streams.Mux
	// Client sends requests.
	Client *streams.Client
	// PubSub is nil when the Config names no topics.
	PubSub *pubsub.PubSub
	// Scores are what this node thinks of its peers.
	Scores *scoring.Book
	// Streams is the configuration that Mux and Client share.
	Streams streams.Config

	pubsubHost *pubsubHost // nil without PubSub

	cfg       Config
	log       *slog.Logger
	greetings greetings
	strangers *strangers
	unknown   *rate.Limiter // of statements that strangers bring
	notices   *budgets      // lines of the log about errors that peers report
	renewing  sync.Mutex    // held while a grant is signed anew
	probes    probes
	boot      string // names this run; empty without Config.Sole
	twins     twins
	elsewhere elsewhere
	links     links
	notifiee  *network.NotifyBundle
	life      context.Context // ends with Close
	end       context.CancelFunc
	unhook    func()         // ends the news of Fleet
	running   sync.WaitGroup // handshakes and probes
	runs      sync.Mutex     // held by Run
	closing   sync.Once
	closed    error
}

// New makes a member that is not reachable yet. Close it in the end.
func New(cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Judge == nil {
		cfg.Judge = trust.NewOpen()
	}
	if cfg.Host.Logger == nil {
		cfg.Host.Logger = cfg.Logger
	}
	n := &Node{log: cfg.Logger, unknown: rate.NewLimiter(unknownRate, unknownBurst), notices: newBudgets(rate.Every(noticeEvery), 1)}
	if cfg.Sole {
		n.boot = newBoot(cfg.Role, rand.Text())
		cfg.Host.OnSelf = n.heardSelf
	}
	if cfg.Fleet != nil {
		cfg.Judge = cfg.Fleet
		cfg.Host.ProtocolPrefix = FleetPrefix(cfg.Fleet.ID())
		cfg.Host.Admit, cfg.Host.Member = n.admitted, cfg.Fleet.Member
	}
	cfg.Host.RelayFor = cfg.Judge.Member
	slots := slotsFor(cfg.Role, cfg.Fleet != nil, cmp.Or(cfg.Host.MaxPeers, host.DefaultMaxPeers))
	n.strangers = newStrangers(cfg.Host.Gater, cfg.Judge, cfg.Fleet != nil, slots)
	cfg.Host.Gater = n.strangers
	n.cfg = cfg
	n.life, n.end = context.WithCancel(context.Background())
	h, err := host.New(cfg.Host)
	if err != nil {
		n.end()
		return nil, err
	}
	n.Host = h
	if err := n.setUp(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) setUp() error {
	n.Scores = n.loadScores()
	n.Streams = streams.Config{
		Logger: n.log, Authorize: n.authorize, Member: n.cfg.Judge.Member,
		Observe: n.observe, Ready: n.ready, Record: n.cfg.Record, Limits: n.cfg.Limits,
	}
	if f := n.cfg.Fleet; f != nil {
		n.Streams.Permit = n.permit
	}
	d := dialler{n.Host, &n.greetings}
	n.Mux = streams.NewMux(d, n.Streams)
	n.Client = streams.NewClient(d, n.Streams)
	n.notifiee = &network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected}
	n.Network().Notify(n.notifiee)
	if err := errors.Join(n.registerLifecycle(), n.registerMembership()); err != nil {
		return err
	}
	if n.cfg.Fleet != nil {
		n.unhook = n.cfg.Fleet.Notify(n.fleetChanged)
	}
	return n.startPubSub()
}

// dialler opens streams by way of the host's own Connect, which knows the
// address book and says in one line why a peer cannot be reached.
// A peer that has just turned us away is not simply offline.
type dialler struct {
	*host.Host
	greetings *greetings
}

func (d dialler) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if d.Network().Connectedness(p) == network.NotConnected {
		if err := d.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
			return nil, err
		}
	}
	s, err := d.Host.NewStream(ctx, p, ids...)
	if refused := d.greetings.refused(p); err != nil && refused != nil {
		return nil, refused
	}
	return s, err
}

// Run serves requests, finds peers, and keeps the connections that are to be
// kept. It returns when ctx ends and all it started has ended.
func (n *Node) Run(ctx context.Context) error {
	n.runs.Lock()
	defer n.runs.Unlock()
	if n.life.Err() != nil {
		return host.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.Mux.Serve(ctx) })
	g.Go(func() error { return n.Host.Run(ctx) })
	g.Go(func() error { return n.keepScores(ctx) })
	g.Go(func() error { return n.watchAddrs(ctx) })
	g.Go(func() error { return n.watchTwins(ctx) })
	g.Go(func() error { return n.strangers.sweep(ctx, n.Network().Conns) })
	return g.Wait()
}

// Close ends Run and all connections, and frees everything. It may be called again.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.end()
		n.runs.Lock() // Run has returned
		defer n.runs.Unlock()
		if n.unhook != nil {
			n.unhook()
		}
		if n.notifiee != nil {
			n.Network().StopNotify(n.notifiee)
		}
		n.running.Wait()
		if n.Client != nil {
			n.closed = n.Client.Close()
		}
		if n.pubsubHost != nil {
			n.closed = errors.Join(n.closed, n.pubsubHost.end())
		}
		n.closed = errors.Join(n.closed, n.Host.Close())
	})
	return n.closed
}

// own runs f in a goroutine that Close waits for, unless the node is closed. f's context ends with the node.
func (n *Node) own(f func(context.Context)) {
	if n.life.Err() == nil {
		n.running.Go(func() { f(n.life) })
	}
}

// authorize puts the judge's answer in the terms of streams.
func (n *Node) authorize(_ context.Context, p streams.Peer, v streams.Verb) error {
	err := n.cfg.Judge.May(p.ID, string(v))
	if d, ok := errors.AsType[*trust.Denied](err); ok {
		code := streams.CodeForbidden
		if d.Unauthenticated() {
			code = streams.CodeUnauthenticated
		}
		return streams.Errorf(code, "%s%s", d.Reason, n.hint(d))
	}
	if err != nil {
		return err
	}
	return n.heldBack(v)
}

// hint is what the program knows to do about an error, to be put behind its words.
func (n *Node) hint(err error) string {
	if n.cfg.Host.Hint == nil {
		return ""
	}
	return n.cfg.Host.Hint(err)
}

// permit keeps a request here that this node's own view of the fleet forbids.
func (n *Node) permit(p peer.ID, leaving bool) error {
	err := n.cfg.Fleet.MaySend(p, leaving)
	if err == nil {
		return nil
	}
	hint := n.hint(&trust.Denied{Peer: p, Err: err})
	switch {
	case errors.Is(err, trust.ErrStranger), errors.Is(err, trust.ErrOwnGrant):
		return streams.Errorf(streams.CodeUnauthenticated, "not sent: %v%s", err, hint)
	default:
		return streams.Errorf(streams.CodeForbidden, "not sent: %v%s", err, hint)
	}
}

// FleetPrefix is what separates a fleet's DHT, mDNS, beacon and topics from all others.
func FleetPrefix(f trust.FleetID) protocol.ID {
	return protocol.ID("/swarm/" + f.Short())
}
