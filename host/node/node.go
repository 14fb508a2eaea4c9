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
//
// Programs that want connections and not messages, such as net/http, take those of [Node.Listener]
// and [Node.Dial], and ask [Node.WhoIs] who is at the other end.
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
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/gossip"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/node/membership"
	"github.com/seed-b490fa12/swarm/host/node/probe"
	"github.com/seed-b490fa12/swarm/host/node/scores"
	"github.com/seed-b490fa12/swarm/host/node/strangers"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
)

// Config says what kind of member New makes. Its zero value lacks only an identity: give
// Host.StateDir, or Host.Identity for a node that leaves no trace.
type Config struct {
	Host host.Config
	// Role, Name and Labels are sent to members in the handshake. They are display data there.
	Role   string
	Name   string
	Labels map[string]string
	// Judge decides the rights of peers; nil allows nothing.
	Judge trust.Judge
	// Fleet is the fleet this node is a member of, and then the Judge. It also gives the role, the
	// name and the labels.
	Fleet *trust.Fleet
	// Tickets are those that this node redeems; nil means none.
	Tickets *ticket.Book
	// Seed makes the node answer newcomers of an open network, which has no fleet, with the
	// addresses of others. In a fleet every member answers members.
	Seed bool
	// AuditHead is the end of this node's audit log, for members to remember; nil for a node
	// without one.
	AuditHead func() greet.AuditHead
	// Sole says that one process at a time runs with this identity in this role, as is so for a
	// worker, a relay and a controller that serves, and not for commands. Such a node sends its
	// boot in the handshake, and notices a second machine with its identity: see Twin.
	Sole bool
	// Greeted is called with each peer that answered our greeting, in a goroutine of its own.
	Greeted func(greet.PeerInfo)
	// Joined is called with each machine that redeemed one of Tickets.
	Joined func(peer.ID, trust.Grant)
	// Topics are the pubsub topics this node may join; none means no pubsub.
	Topics []string
	// Limits bound what peers may use; zero fields have defaults.
	Limits streams.Limits
	// Audit is called before a request has its effect, see streams.Config.
	Audit func(context.Context, streams.Audited) (func(error), error)
	// Journal keeps over restarts what came of requests with an effect, see streams.Config.
	Journal streams.Journal
	// Observe is called with the outcome of each exchange, after it has become a score.
	Observe func(streams.Outcome)
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

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

	cfg        Config
	log        *slog.Logger
	strangers  *strangers.Gater
	greeter    *greet.Greeter
	scores     *scores.Keeper
	probes     *probe.Prober
	twins      *twins.Watcher
	addrs      *addrs.Directory
	membership *membership.Membership // nil without a fleet
	gossip     *gossip.PubSub         // nil without topics
	reports    *limits.Rates          // of errors that are reported to peers
	notices    *limits.Rates          // lines of the log about errors that peers report
	notifiee   *network.NotifyBundle

	life     context.Context // ends with Close
	end      context.CancelCauseFunc
	starting sync.Mutex     // held by own and by the end of life
	running  sync.WaitGroup // what own has started
	runs     sync.Mutex     // held by Run
	closing  sync.Once
	closed   error
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
	n := &Node{
		log:     cfg.Logger,
		reports: limits.NewRates(rate.Every(reportEvery), 1),
		notices: limits.NewRates(rate.Every(noticeEvery), 1),
	}
	if cfg.Sole {
		cfg.Host.OnSelf = func(source string, at []multiaddr.Multiaddr) { n.twins.HeardSelf(source, at) }
	}
	if cfg.Fleet != nil {
		cfg.Judge = cfg.Fleet
		cfg.Host.ProtocolPrefix = FleetPrefix(cfg.Fleet.ID())
		cfg.Host.Admit, cfg.Host.Member = n.admitted, cfg.Fleet.Member
	}
	cfg.Host.RelayFor, cfg.Host.IdleCode = cfg.Judge.Member, greet.DisconnectIdleTimeout.ConnCode()
	slots := strangers.Slots(cfg.Role, cfg.Fleet != nil, cmp.Or(cfg.Host.MaxPeers, host.DefaultMaxPeers))
	n.strangers = strangers.New(cfg.Host.Gater, cfg.Judge.Member, cfg.Fleet != nil, slots)
	cfg.Host.Gater = n.strangers
	n.cfg = cfg
	n.life, n.end = context.WithCancelCause(context.Background())
	h, err := host.New(cfg.Host)
	if err != nil {
		n.end(err)
		return nil, err
	}
	n.Host = h
	if err := n.setUp(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// setUp makes the parts of the node and puts them together.
func (n *Node) setUp() error {
	boot := ""
	if n.cfg.Sole {
		boot = twins.NewBoot(n.cfg.Role, rand.Text())
	}
	n.scores = scores.New(scores.Config{
		StateDir: n.cfg.Host.StateDir, MaxPeers: n.cfg.Host.MaxPeers, Tagger: n.ConnManager(), Outside: n.outside, Logger: n.log,
	})
	n.Scores = n.scores.Book
	n.greeter = greet.New(greet.Config{
		Network: n.Network(), Fleet: n.cfg.Fleet, Member: n.cfg.Judge.Member,
		Hello:     greet.Hello{Boot: boot, Role: n.cfg.Role, Name: n.cfg.Name, Labels: n.cfg.Labels},
		AuditHead: n.cfg.AuditHead, Twins: func() *greet.Twins { return n.twins.Own() },
		Met: n.met, Greeted: n.greeted, Strange: func(c network.Conn) { n.membership.GreetAgain(c) },
		Strangers: n.strangers, Life: n.life, Go: n.own, Logger: n.log,
		Notice: func(p peer.ID) bool { return n.notices.Of(p).Allow() },
	})
	n.Streams = streams.Config{
		Logger: n.log, Authorize: n.authorize, Member: n.cfg.Judge.Member,
		Observe: n.observe, Late: func(c network.Conn) { n.probes.Late(c) }, Ready: n.greeter.Ready,
		Line:   n.Paths().Line,
		Closed: greet.Closed, Words: dial.Plain, Audit: n.cfg.Audit, Journal: n.cfg.Journal, Limits: n.cfg.Limits,
	}
	if n.cfg.Fleet != nil {
		n.Streams.Permit = n.permit
	}
	d := dialler{n.Host, n.greeter}
	n.Mux, n.Client = streams.NewMux(d, n.Streams), streams.NewClient(d, n.Streams)
	n.probes = probe.New(probe.Config{
		Network: n.Network(), Watch: n.Liveness(), Ping: n.ping, Elsewhere: n.Paths().Elsewhere, Relays: n.Relays,
		Dead: n.Paths().FoundDead, Own: n.own, Logger: n.log,
	})
	n.twins = twins.New(twins.Config{
		Self: n.ID(), Boot: boot, Peers: n.Peers, Client: n.Client, Counts: n.counts, Leads: n.leads, Visitor: n.visitor,
		Hint: n.hint, Life: n.life, Go: n.own, Logger: n.log,
	})
	n.addrs = addrs.New(addrs.Config{
		Host: n.Host, Fleet: n.cfg.Fleet, Member: n.cfg.Judge.Member, Seed: n.cfg.Seed, Client: n.Client, Go: n.own, Logger: n.log,
	})
	err := errors.Join(n.greeter.Register(n.Mux, n.Client), n.twins.Register(n.Mux), n.addrs.Register(n.Mux))
	if n.cfg.Fleet != nil {
		err = errors.Join(err, n.setUpFleet())
	}
	if err != nil {
		return err
	}
	n.notifiee = &network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected}
	n.Network().Notify(n.notifiee)
	if len(n.cfg.Topics) == 0 {
		return nil
	}
	score := func(p peer.ID) float64 { return n.Scores.Score(p) - scoring.Neutral }
	n.gossip, err = gossip.New(n.life, limits.Guard(n.Host.Host, n.cfg.Host.Admit),
		gossip.Config{Topics: n.cfg.Topics, Score: score, Go: n.own})
	if err == nil {
		n.PubSub = n.gossip.PubSub
	}
	return err
}

// setUpFleet makes what a member of a fleet has besides.
func (n *Node) setUpFleet() error {
	f, key := n.cfg.Fleet, n.Peerstore().PrivKey(n.ID())
	n.membership = membership.New(membership.Config{
		Fleet: f, Key: key, Network: n.Network(), Client: n.Client, Greet: n.greeter.Again,
		Part: func(ctx context.Context, p peer.ID, conns []network.Conn) error {
			return n.greeter.Part(ctx, p, conns, greet.DisconnectRevoked, "revoked")
		},
		OnProbation: n.strangers.Holds, Promote: n.strangers.Promote, Life: n.life, Go: n.own, Logger: n.log,
	})
	redeemer := join.NewRedeemer(join.Config{
		Fleet: f, Tickets: n.cfg.Tickets, Self: n.ID(), Key: key, Host: n.Host, Members: n.addrs.Members,
		Statements: n.membership.Common, Strangers: n.strangers, Joined: n.cfg.Joined, Hint: n.hint, Logger: n.log,
	})
	return errors.Join(n.membership.Register(n.Mux), redeemer.Register(n.Mux))
}

// Run serves requests, finds peers, and keeps the connections that are to be kept. It returns when
// ctx ends and all it started has ended.
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
	g.Go(func() error { return n.greeter.Run(ctx) })
	g.Go(func() error { return n.scores.Run(ctx) })
	g.Go(func() error { return n.probes.Run(ctx, n.EventBus()) })
	g.Go(func() error { return n.twins.Run(ctx) })
	g.Go(func() error { return n.strangers.Run(ctx, n.Network().Conns) })
	return g.Wait()
}

// Close ends Run and all connections, and frees everything. It may be called again.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.starting.Lock()
		n.end(host.ErrClosed)
		n.starting.Unlock()
		n.runs.Lock() // Run has returned
		defer n.runs.Unlock()
		if n.membership != nil {
			n.membership.Close()
		}
		if n.notifiee != nil {
			n.Network().StopNotify(n.notifiee)
		}
		n.running.Wait()
		if n.Client != nil {
			n.closed = n.Client.Close()
		}
		if n.gossip != nil {
			n.closed = errors.Join(n.closed, n.gossip.Close())
		}
		n.partWithAll()
		n.closed = errors.Join(n.closed, n.Host.Close())
	})
	return n.closed
}

// partWithAll closes all connections, so that the peers can tell the end of this node from a lost
// link.
func (n *Node) partWithAll() {
	var parting errgroup.Group
	for _, c := range n.Network().Conns() {
		parting.Go(func() error { return c.CloseWithError(greet.DisconnectShuttingDown.ConnCode()) })
	}
	_ = parting.Wait() // those that fail are closed already
}

// own runs f in a goroutine that Close waits for, unless the node is closed. f's context ends with
// the node.
func (n *Node) own(f func(context.Context)) {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.life.Err() == nil {
		n.running.Go(func() { f(n.life) })
	}
}

// dialler opens streams through the host's own Connect, which knows the address book and says in
// one line why a peer cannot be reached. If the peer has just refused this node, its reason is the
// error.
type dialler struct {
	*host.Host
	greeter *greet.Greeter
}

// NewStream opens a stream to p, which is dialled first if need be.
func (d dialler) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if d.Network().Connectedness(p) == network.NotConnected {
		if err := d.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
			return nil, err
		}
	}
	s, err := d.Host.NewStream(ctx, p, ids...)
	if refused := d.greeter.Refused(p); err != nil && refused != nil {
		return nil, refused
	}
	return s, err
}

// FleetPrefix is what separates a fleet's DHT, mDNS, beacon and topics from all others.
func FleetPrefix(f trust.FleetID) protocol.ID {
	return protocol.ID("/swarm/" + f.Short())
}
