package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

// ControllerConfig says what kind of controller NewController makes.
type ControllerConfig struct {
	// StateDir holds the controller's identity and address book.
	StateDir string
	// Bootstrap are addresses to begin with, each ending in /p2p/<peer ID>.
	Bootstrap []string
	// MDNS looks for machines in the local network.
	MDNS bool
	// Beacon does the same by UDP datagrams; nil means it does not.
	Beacon *discovery.BeaconConfig
	// Watch joins the stats topic, see Controller.Watch. Such a controller has a
	// passing identity, and so no rights: it only listens.
	Watch bool
	// Serve makes the long-lived controller: it has the controller's own
	// identity, listens on Listen (none means port 4747), stays connected with
	// all saved machines and, with Watch, hears what they push.
	Serve  bool
	Listen []string
	// Redeem makes a controller that listens for those who bring a ticket, without
	// staying connected with anybody.
	Redeem bool
	// Quiet keeps one with Redeem from listening: it dials those who wait.
	Quiet bool
	// Joined is told of each machine that redeemed a ticket here.
	Joined func(peer.ID, trust.Grant)
	// Net says how the controller gets to others.
	Net NetConfig
	// FanOut is how many machines are asked at the same time; 0 means 64.
	FanOut int
	// Options are passed to libp2p, for instance a simulated network in tests.
	Options []libp2p.Option
	Logger  *slog.Logger
}

// Controller asks and commands workers. It does not listen, and announces
// itself nowhere, so that several of one identity can run at a time.
type Controller struct {
	Node *node.Node

	cfg   ControllerConfig
	log   *slog.Logger
	fleet *trust.Fleet    // nil in open mode
	boot  []peer.AddrInfo // where it begins

	leaders *leaders // of one that serves in a fleet, else nil

	stop context.CancelFunc
	ran  chan error // the result of Node.Run

	mu        sync.Mutex // guards what follows
	found     map[peer.ID]discovery.Found
	listeners map[chan<- peer.ID]struct{}
	closed    bool
}

const defaultFanOut = 64

// NewController makes a controller and starts it. Close it in the end.
func NewController(cfg ControllerConfig) (*Controller, error) {
	if cfg.FanOut <= 0 {
		cfg.FanOut = defaultFanOut
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	bootstrap, err := host.ParsePeers(cfg.Bootstrap...)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg, log: cfg.Logger, boot: bootstrap, ran: make(chan error, 1),
		found: make(map[peer.ID]discovery.Found), listeners: make(map[chan<- peer.ID]struct{}),
	}
	if cfg.Serve { // else others would meet two runs of one identity, for a moment
		if err := socketFree(SocketPath(cfg.StateDir)); err != nil {
			return nil, err
		}
	}
	listen, err := parseListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	if c.fleet, err = openFleet(cfg.StateDir, nil, cfg.Logger); err != nil {
		return nil, err
	}
	nc := node.Config{
		Role: RoleController, Sole: cfg.Serve, Logger: cfg.Logger, Fleet: c.fleet, Joined: cfg.Joined, Greeted: c.greeted,
		Host: host.Config{
			StateDir: cfg.StateDir, NoListen: !cfg.Serve && (!cfg.Redeem || cfg.Quiet), Listen: listen, Bootstrap: bootstrap, MDNS: cfg.MDNS, Beacon: cfg.Beacon,
			OnFound: c.onFound, Options: cfg.Options,
		},
	}
	if err := cfg.Net.apply(&nc.Host); err != nil {
		return nil, err
	}
	if cfg.Serve || cfg.Redeem {
		if nc.Tickets, err = c.tickets(); err != nil {
			return nil, err
		}
	}
	if cfg.Watch && (cfg.Serve || c.fleet == nil) {
		nc.Topics = []string{statsTopic(c.fleet).Name}
	}
	if cfg.Watch && !cfg.Serve && c.fleet == nil {
		// Pubsub keeps one stream for each peer ID, which may end at another
		// process of this controller. Whoever listens has a name of its own.
		if nc.Host.Identity, err = identity.New(); err != nil {
			return nil, err
		}
	}
	if c.Node, err = node.New(nc); err != nil {
		return nil, err
	}
	for _, b := range c.boot {
		c.Node.Peerstore().AddAddrs(b.ID, b.Addrs, peerstore.PermanentAddrTTL)
	}
	if err := c.listen(); err != nil {
		return nil, errors.Join(err, c.Node.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() { c.ran <- c.Node.Run(ctx) }()
	return c, nil
}

// listen opens the addresses of a controller that serves, and has it stay
// connected with the saved machines.
func (c *Controller) listen() error {
	if c.cfg.Redeem {
		return c.Node.Listen()
	}
	if !c.cfg.Serve {
		return nil
	}
	for _, t := range c.pickMembers(func(book.Entry) bool { return true }) {
		c.Node.Keep(peer.AddrInfo{ID: t.Peer})
	}
	if c.fleet != nil {
		c.leaders = newLeaders(c.Node, c.fleet, trust.RoleWorker, trust.RoleRelay)
		c.leaders.refresh = c.refresh
		c.leaders.keep()
	}
	return c.Node.Listen()
}

// Addrs returns the addresses of a controller that serves, each with its peer ID.
func (c *Controller) Addrs() ([]string, error) { return addrsOf(c.Node) }

// Close says nothing to anyone and frees everything.
func (c *Controller) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	c.stop()
	return errors.Join(<-c.ran, c.Node.Close())
}

func (c *Controller) onFound(f discovery.Found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.found[f.ID]; ok || len(c.found) >= host.DefaultMaxPeers {
		return
	}
	c.found[f.ID] = f
	for l := range c.listeners {
		select {
		case l <- f.ID:
		default: // as long as the table of found peers: never full
		}
	}
}

// discover tells of machines that discovery has found, until wait is over:
// those that can be reached and speak the family.
func (c *Controller) discover(ctx context.Context, wait time.Duration, family string, tell func(Target)) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	found := make(chan peer.ID, host.DefaultMaxPeers)
	c.mu.Lock()
	c.listeners[found] = struct{}{}
	for id := range c.found {
		found <- id
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.listeners, found)
		c.mu.Unlock()
	}()

	reached := make(chan Target)
	var dials sync.WaitGroup
	defer dials.Wait()
	slots := make(chan struct{}, c.cfg.FanOut)
	for {
		select {
		case id := <-found:
			dials.Go(func() {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					return
				}
				if t, ok := c.probe(ctx, id, family); ok {
					select {
					case reached <- t:
					case <-ctx.Done():
					}
				}
			})
		case t := <-reached:
			tell(t)
		case <-ctx.Done():
			return
		}
	}
}

// probe reaches a found peer and says whether it speaks the family. Discovery
// is a hint only: who does not answer is no target.
func (c *Controller) probe(ctx context.Context, id peer.ID, family string) (Target, bool) {
	info, err := c.Node.Greeting(ctx, id)
	if err != nil {
		c.log.Debug("a found peer does not answer", "peer", id, "err", err)
		return Target{}, false
	}
	speaks := slices.ContainsFunc(info.Hello.Families, func(f streams.FamilyInfo) bool { return f.Name == family })
	t := c.known(id)
	if t.Claimed == "" {
		t.Claimed = info.Hello.Name
	}
	if c.fleet != nil {
		return t, speaks && info.Grant != nil && info.Grant.Role == trust.RoleWorker
	}
	return t, speaks && info.Hello.Role != RoleController
}

// tickets opens the book of tickets, of a controller in a fleet.
func (c *Controller) tickets() (*ticket.Book, error) {
	if c.fleet == nil {
		return nil, nil
	}
	return openTickets(c.cfg.StateDir)
}

// save puts a machine that took a command into the address book.
func (c *Controller) save(p peer.ID) {
	var addrs []string
	for _, conn := range c.Node.Network().ConnsToPeer(p) {
		addrs = append(addrs, conn.RemoteMultiaddr().String())
	}
	claimed := ""
	for _, i := range c.Node.Peers() {
		if i.ID == p {
			claimed = i.Hello.Name
		}
	}
	old, known := c.Node.Book().Get(p)
	if known && !old.Hint && (claimed == "" || old.ClaimedName == claimed) && len(old.Addrs) > 0 {
		return
	}
	_, err := c.Node.Book().Update(p, func(m *book.Entry) {
		m.Hint = false
		if claimed != "" {
			m.ClaimedName, m.Role = claimed, RoleWorker
		}
		for _, a := range addrs {
			if !slices.Contains(m.Addrs, a) {
				m.Addrs = append([]string{a}, m.Addrs[:min(len(m.Addrs), 8)]...)
			}
		}
		m.LastSeen = time.Now().UnixMilli()
	})
	if err != nil {
		c.log.Warn("a machine could not be saved", "peer", p, "err", err)
	}
}
