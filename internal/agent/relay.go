package agent

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// RelayConfig says what kind of relay NewRelay makes.
type RelayConfig struct {
	StateDir  string
	Name      string // in open mode; a fleet gives the name
	Listen    []string
	Bootstrap []string
	MDNS      bool
	// Beacon, if set, announces the relay by UDP datagrams.
	Beacon *discovery.BeaconConfig
	// Allow are the peers that the relay serves where it belongs to no fleet.
	Allow   []peer.ID
	Net     NetConfig
	Options []libp2p.Option
	Logger  *slog.Logger
}

// Relay is a machine that others find each other through: it passes connections on for the members
// of its fleet, answers in the DHT, and tells members of members. It takes no commands.
type Relay struct {
	Node *node.Node

	log      *slog.Logger
	stateDir string
	fleet    *trust.Fleet // nil in open mode
	judge    *trust.Open

	leaders *leaders // nil in open mode
}

// NewRelay makes a relay, which is reachable from Listen on. Close it in the end.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	fleet, err := fleetdir.Open(cfg.StateDir, cfg.Allow, cfg.Logger)
	if err != nil {
		return nil, err
	}
	cfg.Logger = withNames(cfg.Logger, fleet)
	cfg.Net.Relay = true
	hc, err := hostConfig(cfg.Listen, cfg.Bootstrap, cfg.Net)
	if err != nil {
		return nil, err
	}
	hc.StateDir, hc.MDNS, hc.Beacon, hc.Options = cfg.StateDir, cfg.MDNS, cfg.Beacon, cfg.Options
	judge := trust.NewOpen(cfg.Allow...)
	nc := node.Config{
		Role: RoleRelay, Name: cfg.Name, Judge: judge, Fleet: fleet, Host: hc,
		Topics: []string{statsTopic(fleet).Name}, Seed: true, Sole: true, Logger: cfg.Logger,
	}
	if nc.Tickets, err = tickets(fleet, cfg.StateDir); err != nil {
		return nil, err
	}
	n, err := node.New(nc)
	if err != nil {
		return nil, err
	}
	return &Relay{Node: n, log: cfg.Logger, stateDir: cfg.StateDir, fleet: fleet, judge: judge}, nil
}

// Listen opens the relay's addresses. From then on it can be reached.
func (r *Relay) Listen() error {
	if r.fleet != nil {
		r.leaders = newLeaders(r.Node, r.fleet, leaderRoles...)
		r.leaders.keep()
	}
	return r.Node.Listen()
}

// Addrs returns the relay's addresses, each with its peer ID.
func (r *Relay) Addrs() ([]string, error) { return AddrsOf(r.Node) }

// Fleet returns the names of the fleet and of this machine in it, empty in open mode.
func (r *Relay) Fleet() (fleet, name string) { return fleetNames(r.fleet) }

// Run serves until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Node.Run(ctx) })
	g.Go(func() error { return r.passStatsOn(ctx) })
	g.Go(func() error { return r.account(ctx) })
	g.Go(func() error { return watchTwin(ctx, r.Node, r.stateDir, r.log, func(twins.Twin, bool) {}) })
	if r.leaders != nil {
		g.Go(func() error { return r.leaders.run(ctx) })
		g.Go(func() error { return fleetdir.UntilLeft(ctx, r.fleet) })
	}
	return g.Wait()
}

// accountEvery is how often a relay says what it has passed on.
const accountEvery = time.Hour

// account logs how much each member has sent through the relay, now and then and at the end.
func (r *Relay) account(ctx context.Context) error {
	tick := time.NewTicker(accountEvery)
	defer tick.Stop()
	before := make(map[peer.ID]int64)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		for p, sent := range r.Node.Relayed() {
			if sent > before[p] {
				m, _ := r.Node.Book().Get(p)
				r.log.Info("passed on", "for", targetOf(m).Label(), "peer", p, "bytes", sent-before[p])
			}
			before[p] = sent
		}
	}
	return nil
}

// passingEvery is how often a relay looks whether those who listen to stats have gone.
const passingEvery = 10 * time.Second

// passStatsOn makes the relay a part of the stats topic while somebody listens: workers, which only
// publish, pass nothing on. Without, they would push to the relay alone, for nobody.
func (r *Relay) passStatsOn(ctx context.Context) error {
	subject, err := statsTopic(r.fleet).Join(r.Node.PubSub, r.Node.ID(), r.Node.Streams, nil)
	if err != nil {
		return err
	}
	defer subject.Close()
	joins, ended, err := subject.Joins(ctx)
	if err != nil {
		return err
	}
	defer ended()
	tick := time.NewTicker(passingEvery)
	defer tick.Stop()
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		switch listened := slices.ContainsFunc(subject.Subscribers(), r.listens); {
		case listened && stop == nil:
			if stop, err = subject.Relay(); err != nil {
				return err
			}
		case !listened && stop != nil:
			stop()
			stop = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-joins:
		case <-tick.C:
		}
	}
}

// listens reports whether a subscriber wants stats for itself: another relay only passes them on.
func (r *Relay) listens(p peer.ID) bool {
	return !slices.ContainsFunc(r.Node.Peers(), func(i greet.PeerInfo) bool { return i.ID == p && i.Hello.Role == RoleRelay })
}

// Close frees everything, also of a relay that never ran.
func (r *Relay) Close() error { return r.Node.Close() }
