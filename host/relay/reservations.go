package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: AutoRelay begins when AutoNAT has found out that
// the node is private, waits minutes between looks, and knows nothing of members. Upstream:
// https://github.com/libp2p/go-libp2p/issues/2399, https://github.com/libp2p/go-libp2p/issues/538.
// The file may go when AutoRelay follows the connections, and lets its user choose among them.

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// Tag protects the relays in use from the connection manager.
const Tag = "swarm-relay"

const (
	wantedRelays    = 2 // so that one may go away
	reserveTimeout  = 5 * time.Second
	reserveRetry    = time.Second
	reserveSlowest  = 30 * time.Second // where it keeps failing
	reserveCheck    = time.Minute
	addrsOfARelay   = 4                     // taken from one reservation
	settle          = 50 * time.Millisecond // after a change of connections, of which many come at once
	reservationHalf = reservationTime / 2   // then it is renewed
)

// Reservations are held with up to two relays, for others to reach this node through. They are held
// also where others were able to dial this node: a reservation costs nothing, and that one neighbour
// reaches an address says little about the others. Methods may be called concurrently.
type Reservations struct {
	host     corehost.Host
	circuits *Circuits
	cfg      ReservationsConfig
	kick     chan struct{} // has a token when the connections have changed

	mu   sync.Mutex // guards held
	held map[peer.ID]reservation
}

// ReservationsConfig says with which relays.
type ReservationsConfig struct {
	// Kept reports whether this node stays connected with a peer: such relays are preferred.
	Kept func(peer.ID) bool
	// Gained is called after a first reservation with a relay.
	Gained func()
	// Liveness knows how quickly connections answer, and Elsewhere whether the peer of one that does
	// not answers in another way.
	Liveness  *liveness.Watch
	Elsewhere func(context.Context, network.Conn) bool
	// Busy reports whether a connection is in use.
	Busy   func(network.Conn) bool
	Logger *slog.Logger
}

// reservation is one with a relay. Its times are by our own clock: that of the relay may be another
// one.
type reservation struct {
	conn  network.Conn          // over which it was given; another process of the relay knows nothing of it
	addrs []multiaddr.Multiaddr // where we are, through this relay
	renew time.Time
	until time.Time
}

// NewReservations returns reservations of h with the relays that circuits finds usable.
func NewReservations(h corehost.Host, circuits *Circuits, cfg ReservationsConfig) *Reservations {
	return &Reservations{
		host: h, circuits: circuits, cfg: cfg,
		kick: make(chan struct{}, 1), held: make(map[peer.ID]reservation),
	}
}

// Wake makes Run look at the connections at once.
func (r *Reservations) Wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Addrs returns the addresses through relays, in a stable order.
func (r *Reservations) Addrs() (out []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.held {
		out = append(out, res.addrs...)
	}
	slices.SortFunc(out, multiaddr.Multiaddr.Compare)
	return out
}

// Relays returns the relays through which others reach this node.
func (r *Reservations) Relays() (out []peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.held {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// conns returns the connections with those relays.
func (r *Reservations) conns() (out []network.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.held {
		out = append(out, res.conn)
	}
	return out
}

// Run holds reservations, and pings the relays in use, until ctx ends.
func (r *Reservations) Run(ctx context.Context) error {
	emitter, err := r.host.EventBus().Emitter(new(event.EvtAutoRelayAddrsUpdated))
	if err != nil {
		return fmt.Errorf("announce addresses through relays: %w", err)
	}
	defer emitter.Close()
	var pinging sync.WaitGroup
	defer pinging.Wait()
	pinging.Go(func() { r.ping(ctx) })
	retry := backoff.Backoff{First: reserveRetry, Most: reserveSlowest}
	for ctx.Err() == nil {
		pause := reserveCheck
		changed, failed := r.look(ctx)
		if failed {
			pause = retry.Next()
		} else {
			retry.Reset()
		}
		if changed { // the host looks at its addresses again
			if err := emitter.Emit(event.EvtAutoRelayAddrsUpdated{RelayAddrs: r.Addrs()}); err != nil {
				r.cfg.Logger.Debug("addresses were not announced", "err", err)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.kick:
			backoff.Wait(ctx, settle)
		}
		timer.Stop()
	}
	return nil
}

// look drops the reservations that are lost, and asks for others. It reports whether any have
// changed, and whether one has failed, so that it is worth trying again soon.
func (r *Reservations) look(ctx context.Context) (changed, failed bool) {
	changed = r.drop(time.Now())
	for _, p := range r.candidates() {
		r.mu.Lock()
		res, has := r.held[p]
		enough := len(r.held) >= wantedRelays
		r.mu.Unlock()
		c := r.lasting(p)
		if c == nil || has && res.conn == c && time.Now().Before(res.renew) || !has && enough {
			continue
		}
		if err := r.reserve(ctx, c); err != nil {
			failed = true
			r.cfg.Logger.Debug("no reservation with a relay", "relay", p, "err", err)
			continue
		}
		changed = changed || !has
		if !has {
			r.cfg.Logger.Info("others reach this node by way of a relay", "relay", p)
			r.cfg.Gained()
		}
	}
	return changed, failed
}

// drop forgets reservations that are over, and reports whether there were any.
func (r *Reservations) drop(now time.Time) (dropped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, res := range r.held {
		if now.After(res.until) || res.conn.IsClosed() {
			delete(r.held, p)
			r.host.ConnManager().Unprotect(p, Tag)
			dropped = true
			r.cfg.Logger.Info("a relay is no longer used", "relay", p)
		}
	}
	return dropped
}

// candidates are the connected relays: kept ones, which for members are those of the role, before
// others. Each node has an order of its own, so that they share the load.
func (r *Reservations) candidates() []peer.ID {
	var out []peer.ID
	for _, p := range r.host.Network().Peers() {
		if route.IsDirect(r.host.Network(), p) && r.circuits.Usable(p) {
			out = append(out, p)
		}
	}
	self := r.host.ID()
	slices.SortFunc(out, func(a, b peer.ID) int {
		if ka, kb := r.cfg.Kept(a), r.cfg.Kept(b); ka != kb {
			if ka {
				return -1
			}
			return 1
		}
		return cmp.Compare(route.Affinity(self, a), route.Affinity(self, b))
	})
	return out
}

// lasting is the connection over which a relay is asked: one that outlives a change of this node's
// outside address, as one by QUIC does for the end that dialled it; and of two, the newer one, as the
// other may lead to a process that is gone.
func (r *Reservations) lasting(p peer.ID) (best network.Conn) {
	for _, c := range r.host.Network().ConnsToPeer(p) {
		if c.IsClosed() || route.Of(c) == route.Relay {
			continue
		}
		if best == nil || outlives(c) && !outlives(best) ||
			outlives(c) == outlives(best) && c.Stat().Opened.After(best.Stat().Opened) {
			best = c
		}
	}
	return best
}

// outlives reports whether a connection survives a change of this node's outside address.
func outlives(c network.Conn) bool {
	return c.Stat().Direction == network.DirOutbound && route.IsQUIC(c.RemoteMultiaddr())
}

func (r *Reservations) reserve(ctx context.Context, c network.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	if admit := r.circuits.cfg.Admit; admit != nil {
		if err := admit(ctx, c, false); err != nil {
			return err
		}
	}
	p, now := c.RemotePeer(), time.Now()
	addrs, err := ask(ctx, c)
	if err != nil {
		return err
	}
	r.circuits.Learn(p)
	res := reservation{conn: c, renew: now.Add(reservationHalf), until: now.Add(reservationTime)}
	for _, a := range addrs {
		if a, ok := addrAt(a, p); ok && len(res.addrs) < addrsOfARelay {
			res.addrs = append(res.addrs, a)
		}
	}
	r.host.ConnManager().Protect(p, Tag)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[p] = res
	return nil
}
