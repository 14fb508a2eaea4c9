package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// ControllerConfig says where a controller's state is and how it gets to machines.
type ControllerConfig struct {
	// StateDir holds the controller's identity and address book.
	StateDir string
	// Bootstrap are addresses to begin with, each ending in /p2p/<peer ID>.
	Bootstrap []string
	// MDNS looks for machines in the local network.
	MDNS bool
	// Beacon does the same by UDP datagrams; nil means it does not.
	Beacon *discovery.BeaconConfig
	// Listen is where a controller listens that does; none means port 4747.
	Listen []string
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

// Controller asks and commands workers. There are several kinds, each with its constructor:
// [NewCommand], [NewWatch], [NewServe], [NewRedeem] and [NewOffer].
//
// It works once it listens and runs: either the caller does [Controller.Listen] and
// [Controller.Run], or [Controller.Start] does both in the background. Close it in the end.
type Controller struct {
	Node *node.Node
	*targets

	cfg     ControllerConfig
	open    func() error // opens what this kind listens on; nil for nothing
	leaders *leaders     // of one that serves in a fleet, else nil
	serves  bool
	bulk    *bulk

	mu     sync.Mutex // guards what follows
	stop   context.CancelFunc
	ran    chan error // the result of Run, after Start
	closed bool
}

// NewCommand makes the controller of one command. It listens nowhere and announces itself nowhere,
// so that several of one identity can run at a time.
func NewCommand(cfg ControllerConfig) (*Controller, error) {
	return newController(cfg, func(_ *Controller, nc *node.Config) error {
		nc.Host.NoListen = true
		return nil
	})
}

// NewWatch makes a controller for [Controller.Watch]. Without a fleet it has a passing identity,
// and so no rights: it only listens to the stats topic. Pubsub keeps one stream for each peer ID,
// which might end at another process of this controller.
func NewWatch(cfg ControllerConfig) (*Controller, error) {
	return newController(cfg, func(c *Controller, nc *node.Config) (err error) {
		nc.Host.NoListen = true
		if c.fleet == nil {
			nc.Topics = []string{statsTopic(nil).Name}
			nc.Host.Identity, err = identity.New()
		}
		return err
	})
}

// NewServe makes the long-lived controller, of which there is one for each identity. It listens,
// redeems tickets, stays connected with all saved machines and hears what they push.
func NewServe(cfg ControllerConfig) (*Controller, error) {
	return newController(cfg, func(c *Controller, nc *node.Config) (err error) {
		c.serves, c.open = true, c.listenAndKeep
		nc.Sole, nc.Topics = true, []string{statsTopic(c.fleet).Name}
		nc.Tickets, err = tickets(c.fleet, c.cfg.StateDir)
		return err
	})
}

// NewRedeem makes a controller that listens for those who bring a ticket, and stays connected with
// nobody.
func NewRedeem(cfg ControllerConfig) (*Controller, error) {
	return newController(cfg, func(c *Controller, nc *node.Config) (err error) {
		c.open = func() error { return c.Node.Listen() }
		nc.Tickets, err = tickets(c.fleet, c.cfg.StateDir)
		return err
	})
}

// NewOffer makes a controller that brings tickets to machines which wait for them, and redeems them
// over the connections that it has dialled. It listens nowhere.
func NewOffer(cfg ControllerConfig) (*Controller, error) {
	return newController(cfg, func(c *Controller, nc *node.Config) (err error) {
		c.open = func() error { return c.Node.Listen() }
		nc.Host.NoListen = true
		nc.Tickets, err = tickets(c.fleet, c.cfg.StateDir)
		return err
	})
}

// newController makes a controller of the kind that shape makes of it.
func newController(cfg ControllerConfig, shape func(*Controller, *node.Config) error) (*Controller, error) {
	if cfg.FanOut <= 0 {
		cfg.FanOut = defaultFanOut
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	hc, err := hostConfig(cfg.Listen, cfg.Bootstrap, cfg.Net)
	if err != nil {
		return nil, err
	}
	fleet, err := fleetdir.Open(cfg.StateDir, nil, cfg.Logger)
	if err != nil {
		return nil, err
	}
	cfg.Logger = withNames(cfg.Logger, fleet)
	c := &Controller{cfg: cfg, targets: newTargets(fleet, hc.Bootstrap, cfg.FanOut, cfg.Logger)}
	hc.StateDir, hc.MDNS, hc.Beacon, hc.Options = cfg.StateDir, cfg.MDNS, cfg.Beacon, cfg.Options
	hc.OnFound = c.found.onFound
	nc := node.Config{
		Role: RoleController, Logger: cfg.Logger, Fleet: fleet, Joined: cfg.Joined, Greeted: c.greeted, Host: hc,
	}
	if err := shape(c, &nc); err != nil {
		return nil, err
	}
	if nc.Host.NoListen {
		nc.Host.Listen = nil
	}
	if c.Node, err = node.New(nc); err != nil {
		return nil, err
	}
	c.targets.node = c.Node
	c.bulk = newBulk(c)
	for _, b := range hc.Bootstrap {
		c.Node.Peerstore().AddAddrs(b.ID, b.Addrs, peerstore.PermanentAddrTTL)
	}
	return c, nil
}

// listenAndKeep opens the addresses of a controller that serves, and stays connected with the saved
// machines.
func (c *Controller) listenAndKeep() error {
	for _, t := range c.all() {
		c.Node.Keep(peer.AddrInfo{ID: t.Peer})
	}
	if c.fleet != nil {
		c.leaders = newLeaders(c.Node, c.fleet, trust.RoleWorker, trust.RoleRelay)
		c.leaders.refresh = c.Refresh
		c.leaders.keep()
	}
	return c.Node.Listen()
}

// Listen opens the addresses of a controller that listens. A command has none.
func (c *Controller) Listen() error {
	if c.open == nil {
		return nil
	}
	return c.open()
}

// Run keeps the controller connected until ctx ends. One that serves ends with [fleetdir.ErrLeft]
// when its machine has left the fleet.
func (c *Controller) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Node.Run(ctx) })
	if c.serves {
		g.Go(func() error { return watchTwin(ctx, c.Node, c.cfg.StateDir, c.log, func(twins.Twin, bool) {}) })
	}
	if c.leaders != nil {
		g.Go(func() error { return c.leaders.run(ctx) })
		g.Go(func() error { return fleetdir.UntilLeft(ctx, c.fleet) })
	}
	return g.Wait()
}

// Start listens, and runs the controller in the background until Close. After an error the
// controller is closed.
func (c *Controller) Start() error {
	if err := c.Listen(); err != nil {
		return errors.Join(err, c.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	c.mu.Lock()
	c.stop, c.ran = stop, ran
	c.mu.Unlock()
	go func() { ran <- c.Run(ctx) }()
	return nil
}

// Started starts what a constructor has returned: Started(NewCommand(cfg)).
func Started(c *Controller, err error) (*Controller, error) {
	if err == nil {
		err = c.Start()
	}
	return c, err
}

// Addrs returns where the controller listens, each address with its peer ID.
func (c *Controller) Addrs(context.Context) ([]string, error) { return AddrsOf(c.Node) }

// Fleet returns the fleet of the controller, or nil in open mode.
func (c *Controller) Fleet() *trust.Fleet { return c.fleet }

// Close ends what Start has begun, and frees everything. It may be called twice.
func (c *Controller) Close() error {
	c.mu.Lock()
	stop, ran, closed := c.stop, c.ran, c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	var err error
	if stop != nil {
		stop()
		err = <-ran
	}
	return errors.Join(err, c.Node.Close())
}

// Forward listens and carries connections until ctx ends, or an error of emit, which is called for one
// event at a time. The loss of the machine resets what is open, and ends nothing. Another error means
// that an address cannot be listened on, or that no machine was asked.
func (c *Controller) Forward(ctx context.Context, f Forwarding, emit func(ForwardEvent) error) error {
	return carryTo(ctx, c, f, emit)
}

// Copy copies between this machine and another one, over further connections if need be, until all is
// there, ctx ends or emit fails, which is called for one event at a time. The last event says what came of
// it. Another error means that no machine was asked.
func (c *Controller) Copy(ctx context.Context, y Copy, emit func(CopyEvent) error) error {
	return copyBetween(ctx, c, y, emit)
}
