package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/addrs"
	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// StateRole returns for which kind of node a role of the fleet keeps its state.
func StateRole(r trust.Role) string {
	switch r {
	case trust.RoleWorker:
		return agent.RoleWorker
	case trust.RoleRelay:
		return agent.RoleRelay
	default:
		return agent.RoleController
	}
}

// JoinConfig says who joins.
type JoinConfig struct {
	// StateDir is that of the worker, relay or controller that joins.
	StateDir string
	// Listen is where the joiner will listen later; none means port 4747. A
	// controller that does not serve listens nowhere.
	Listen []string
	// Wait has the joiner wait for its inviter to call, instead of calling.
	Wait bool
	// Net says how the machine gets to its inviter.
	Net agent.NetConfig
	// Options are passed to libp2p, for instance a simulated network in tests.
	Options []libp2p.Option
	Logger  *slog.Logger
}

// Joiner is a machine that is about to join a fleet. Close it in the end.
type Joiner struct {
	cfg    JoinConfig
	node   *node.Node
	offers chan string
	stop   context.CancelFunc
	ran    chan error
	closed bool
}

// NewJoiner makes the identity of the machine, if it has none. After Start it listens where it will
// listen later; listens is false for a machine that will listen nowhere. It fails with
// trust.ErrInFleet on a machine that is in a fleet.
func NewJoiner(cfg JoinConfig, listens bool) (*Joiner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if trust.InFleet(fleetdir.Dir(cfg.StateDir)) {
		return nil, fmt.Errorf("%w; leave it first: swarm leave", trust.ErrInFleet)
	}
	listen, err := agent.ParseListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	hc := host.Config{StateDir: cfg.StateDir, Listen: listen, DHT: host.DHTOff, Options: cfg.Options}
	if !listens && !cfg.Wait { // also where the machine's configuration says on what others listen
		hc.Listen, hc.NoListen = nil, true
	}
	if err := cfg.Net.Apply(&hc); err != nil {
		return nil, err
	}
	n, err := node.New(node.Config{Logger: cfg.Logger, Host: hc})
	if err != nil {
		return nil, err
	}
	j := &Joiner{cfg: cfg, node: n, offers: make(chan string, 1), ran: make(chan error, 1)}
	if cfg.Wait {
		err = n.ServeOffers(j.offers)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return j, nil
}

// Start lets the inviter and the joiner reach one another in the background until Close.
func (j *Joiner) Start() error {
	if err := j.node.Listen(); err != nil {
		return errors.Join(err, j.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	go func() { j.ran <- j.node.Run(ctx) }()
	return nil
}

// ID returns the machine's peer ID.
func (j *Joiner) ID() peer.ID { return j.node.ID() }

// Addrs returns where the machine listens, each with its peer ID.
func (j *Joiner) Addrs() ([]string, error) { return agent.AddrsOf(j.node) }

// Close ends the joiner. It may be called twice.
func (j *Joiner) Close() error {
	if j.closed {
		return nil
	}
	j.closed = true
	var err error
	if j.stop != nil {
		j.stop()
		err = <-j.ran
	}
	return errors.Join(err, j.node.Close())
}

// Offer waits for an inviter to bring a ticket.
func (j *Joiner) Offer(ctx context.Context) (string, error) {
	select {
	case text := <-j.offers:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// ExpiredTicket says that a ticket has ended by this machine's clock, which may be
// wrong.
func ExpiredTicket(t *ticket.Ticket) error {
	return fmt.Errorf("%w on %s, and the clock here says %s: set it if that is wrong",
		ticket.ErrExpired, t.Expires.UTC().Format(time.DateTime), time.Now().UTC().Format(time.DateTime))
}

// dialAgain is how often a joiner tries to reach its inviter.
const dialAgain = 2 * time.Second

// Join redeems the ticket and makes this machine a member. waiting is called when
// a person has to confirm it first.
func (j *Joiner) Join(ctx context.Context, t *ticket.Ticket, waiting func()) (*trust.Fleet, error) {
	if t.Redeemer == j.node.ID() {
		return nil, errors.New("this machine made the ticket itself; use it on another one")
	}
	if !time.Now().Before(t.Expires) {
		return nil, ExpiredTicket(t)
	}
	var listens []string
	for _, a := range j.node.Addrs() {
		listens = append(listens, a.String())
	}
	got, err := j.redeem(ctx, t, listens, waiting)
	if err != nil {
		return nil, err
	}
	f, err := trust.CreateFleet(fleetdir.Config(j.cfg.StateDir, j.node.ID(), nil, j.cfg.Logger), got.Membership, got.Statements)
	if err != nil {
		return nil, err
	}
	if _, err := addrs.Save(j.node.Book(), f, got.Members); err != nil {
		j.cfg.Logger.Warn("not all members that the inviter told of could be saved", "err", err)
	}
	if _, err := j.node.Book().Update(t.Redeemer, func(m *book.Entry) { m.Give(t.Addrs) }); err != nil {
		j.cfg.Logger.Warn("where the inviter is could not be saved", "err", err)
	}
	return f, nil // the ticket is used, and this machine is a member
}

// redeem retries while the inviter is not reached: with Wait it is the inviter who
// calls, and on the way back the ticket may have been used by us already.
func (j *Joiner) redeem(ctx context.Context, t *ticket.Ticket, addrs []string, waiting func()) (*join.Joined, error) {
	for {
		got, err := j.node.JoinWith(ctx, t, addrs, waiting)
		retry := j.cfg.Wait && (errors.Is(err, host.ErrUnreachable) || errors.Is(err, host.ErrNoAddress))
		if err == nil || !retry {
			return got, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(dialAgain):
		}
	}
}
