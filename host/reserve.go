package host

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	wantedRelays    = 2 // so that one may go away
	reserveTimeout  = 5 * time.Second
	reserveRetry    = time.Second
	reserveSlowest  = 30 * time.Second // where it keeps failing
	reserveCheck    = time.Minute
	addrsOfARelay   = 4                     // taken from one reservation
	settle          = 50 * time.Millisecond // after a change of connections, of which many come at once
	relayTag        = "swarm-relay"
	roleRelay       = "relay" // of a saved member
	roleWorker      = "worker"
	circuitSuffix   = "/p2p-circuit"
	reservationRest = reservationTime / 2 // renewed when no more is left
)

// reservations are the places that this node has with relays, for others to reach it through.
type reservations struct {
	kick chan struct{} // has a token when the connections have changed

	mu   sync.Mutex // guards held and public
	held map[peer.ID]reservation
	// public says that others were able to dial this node: then it needs no relay.
	public bool
}

type reservation struct {
	addrs []multiaddr.Multiaddr // where we are, by way of this relay
	until time.Time
}

func newReservations() *reservations {
	return &reservations{kick: make(chan struct{}, 1), held: make(map[peer.ID]reservation)}
}

func (r *reservations) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *reservations) setPublic(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.public = yes
}

// addrs returns the addresses by way of relays, in a stable order.
func (r *reservations) addrs() (out []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.held {
		out = append(out, res.addrs...)
	}
	slices.SortFunc(out, multiaddr.Multiaddr.Compare)
	return out
}

func (r *reservations) relays() (out []peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.held {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Relays returns the relays through which others reach this node.
func (h *Host) Relays() []peer.ID { return h.reserved.relays() }

// keepReserved has places with up to two relays, as long as this node cannot be dialled from everywhere, until ctx ends.
func (h *Host) keepReserved(ctx context.Context) {
	if h.cfg.NoListen || h.cfg.Relay {
		return
	}
	emitter, err := h.EventBus().Emitter(new(event.EvtAutoRelayAddrsUpdated))
	if err != nil {
		h.log.Warn("relays are not used", "err", err)
		return
	}
	defer emitter.Close()
	retry := reserveRetry
	for ctx.Err() == nil {
		pause := reserveCheck
		changed, failed := h.reserve(ctx)
		if failed {
			pause, retry = retry, min(2*retry, reserveSlowest)
		} else {
			retry = reserveRetry
		}
		if changed { // the host looks at its addresses again
			if err := emitter.Emit(event.EvtAutoRelayAddrsUpdated{RelayAddrs: h.reserved.addrs()}); err != nil {
				h.log.Debug("addresses were not announced", "err", err)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-h.reserved.kick:
			wait(ctx, settle)
		}
		timer.Stop()
	}
}

// reserve drops the places that are lost, and looks for others. It tells whether any have changed, and whether it is worth
// trying again soon.
func (h *Host) reserve(ctx context.Context) (changed, failed bool) {
	r, now := h.reserved, time.Now()
	r.mu.Lock()
	public := r.public
	for p, res := range r.held {
		if public || now.After(res.until) || !h.direct(p) {
			delete(r.held, p)
			h.ConnManager().Unprotect(p, relayTag)
			changed = true
			h.log.Info("a relay is no longer used", "relay", p, "reachable", public)
		}
	}
	r.mu.Unlock()
	if public {
		return changed, false
	}
	for _, p := range h.relayCandidates() {
		r.mu.Lock()
		res, has := r.held[p]
		enough := len(r.held) >= wantedRelays
		r.mu.Unlock()
		if has && res.until.Sub(now) > reservationRest || !has && enough {
			continue
		}
		if err := h.reserveAt(ctx, p); err != nil {
			failed = true
			h.log.Debug("no place with a relay", "relay", p, "err", err)
			continue
		}
		changed = changed || !has
		if !has {
			h.log.Info("others reach this node by way of a relay", "relay", p)
			h.keeper.wakeAll() // who could not be reached may be now
		}
	}
	return changed, failed
}

func (h *Host) reserveAt(ctx context.Context, p peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	got, err := client.Reserve(ctx, Guard(h.Host, h.cfg.Admit), peer.AddrInfo{ID: p})
	if err != nil {
		return err
	}
	// The addresses that are good from the most places come first.
	slices.SortStableFunc(got.Addrs, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(distance(a), distance(b)) })
	h.learnRelay(p)
	res := reservation{until: got.Expiration}
	for _, a := range got.Addrs[:min(len(got.Addrs), addrsOfARelay)] {
		res.addrs = append(res.addrs, a.Encapsulate(multiaddr.StringCast(circuitSuffix)))
	}
	h.ConnManager().Protect(p, relayTag)
	h.reserved.mu.Lock()
	defer h.reserved.mu.Unlock()
	h.reserved.held[p] = res
	return nil
}

func distance(a multiaddr.Multiaddr) int {
	if manet.IsPublicAddr(a) {
		return 0
	}
	return 1
}

// relayCandidates are the connected relays: kept ones, which for members are those of the role, before others. Each node
// has an order of its own, so that they share the load.
func (h *Host) relayCandidates() []peer.ID {
	var out []peer.ID
	for _, p := range h.Network().Peers() {
		member := h.keeper.has(p)
		if h.cfg.Member != nil {
			member = h.cfg.Member(p)
		}
		if member && h.direct(p) && h.isRelay(p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b peer.ID) int {
		if ka, kb := h.keeper.has(a), h.keeper.has(b); ka != kb {
			if ka {
				return -1
			}
			return 1
		}
		return cmp.Compare(h.affinity(a), h.affinity(b))
	})
	return out
}
