package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/join"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// Delivery is what came of taking news of the fleet to one member.
type Delivery struct {
	Target Target
	Err    error // nil: it has the news; else it gets them at its next contact
}

// Deliverer takes what an [Admin] has signed to the members.
type Deliverer interface {
	// Deliver takes the news to the members, many at a time, and tells of each as
	// it goes.
	Deliver(ctx context.Context, n News, emit func(Delivery)) error
}

// News is what Deliver takes to members, beside the records of the fleet.
type News struct {
	// To are the members; none means all.
	To []peer.ID `json:"to,omitzero"`
	// About are members whose new grants the others keep for them: those who
	// listen nowhere.
	About []peer.ID `json:"about,omitzero"`
	// TimeoutMs is how long a member may take, in milliseconds.
	TimeoutMs int64 `json:"timeoutMs"`
}

var (
	_ Deliverer = (*Controller)(nil)
	_ Deliverer = (*Remote)(nil)
)

// Deliver reads what is new in the state directory and takes it to the members.
func (c *Controller) Deliver(ctx context.Context, n News, emit func(Delivery)) error {
	f := c.fleet
	if f == nil {
		return trust.ErrNoFleet
	}
	c.refresh()
	peers := n.To
	if len(peers) == 0 {
		peers = c.reachable()
	}
	timeout := time.Duration(n.TimeoutMs) * time.Millisecond
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, c.cfg.FanOut)
	)
	for _, p := range peers {
		if p == c.Node.ID() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			err := c.Node.BringUpToDate(ctx, p, n.About...)
			if err != nil {
				err = unreachable(ctx, c.known(p), err)
			}
			mu.Lock()
			defer mu.Unlock()
			emit(Delivery{c.known(p), err})
		})
	}
	wg.Wait()
	return ctx.Err()
}

// reachable are the members who are worth a call: a controller's commands do not
// listen, so of those only the ones with an address.
func (c *Controller) reachable() (out []peer.ID) {
	for _, m := range c.fleet.Members() {
		if c.fleet.Revoked(m.Peer) {
			continue
		}
		saved, ok := c.Node.Book().Get(m.Peer)
		listens := m.Grant.Role == trust.RoleWorker || m.Grant.Role == trust.RoleRelay
		if listens || ok && saved.HasAddr() {
			out = append(out, m.Peer)
		}
	}
	return out
}

// refresh reads again what other processes of this machine may have changed.
func (c *Controller) refresh() {
	if err := c.Node.Book().Reload(); err != nil {
		c.log.Warn("the address book cannot be read again", "err", err)
	}
	if f := c.fleet; f != nil {
		if err := f.Reload(); err != nil {
			c.log.Warn("the fleet cannot be read again", "err", err)
		}
	}
}

// Collect asks the members at these addresses for the newest records and for all
// members that they know. It returns how many of them answered.
func (c *Controller) Collect(ctx context.Context, from []peer.AddrInfo) (answered, members int, err error) {
	for _, info := range from {
		ctx, cancel := context.WithTimeout(ctx, collectTimeout)
		err = errors.Join(err, func() error {
			defer cancel()
			if err := c.Node.Connect(ctx, info); err != nil {
				return err
			}
			if err := c.Node.BringUpToDate(ctx, info.ID); err != nil {
				return err
			}
			n, err := c.Node.LearnMembers(ctx, info.ID)
			answered, members = answered+1, members+n
			return err
		}())
	}
	if answered > 0 {
		err = nil
	}
	return answered, members, err
}

const collectTimeout = 10 * time.Second

// Offer brings a ticket to a machine that waits for it at an address.
func (c *Controller) Offer(ctx context.Context, to peer.AddrInfo, ticket string) error {
	if err := c.Node.Connect(ctx, to); err != nil {
		return err
	}
	_, err := join.Offer.Do(ctx, c.Node.Client, to.ID, join.OfferRequest{Ticket: ticket})
	return err
}
