package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
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
	reservationHalf = reservationTime / 2 // then it is renewed
	maxReservation  = 64 << 10            // bytes of a relay's answer
)

// reservations are the places that this node has with relays, for others to reach it through.
type reservations struct {
	kick chan struct{} // has a token when the connections have changed

	mu   sync.Mutex // guards held
	held map[peer.ID]reservation
}

// reservation is a place with a relay. Its times are by our own clock: that of the relay may be another one.
type reservation struct {
	conn  network.Conn          // over which it was given; another process of the relay knows nothing of it
	addrs []multiaddr.Multiaddr // where we are, by way of this relay
	renew time.Time
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

// conns returns the connections with those relays.
func (r *reservations) conns() (out []network.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.held {
		out = append(out, res.conn)
	}
	return out
}

// Relays returns the relays through which others reach this node.
func (h *Host) Relays() []peer.ID { return h.reserved.relays() }

// keepReserved has places with up to two relays, until ctx ends. It does so also where others were able to dial this node:
// a place costs nothing, and one neighbour's word that an address is good says little about the others.
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
	for p, res := range r.held {
		if now.After(res.until) || res.conn.IsClosed() {
			delete(r.held, p)
			h.ConnManager().Unprotect(p, relayTag)
			changed = true
			h.log.Info("a relay is no longer used", "relay", p)
		}
	}
	r.mu.Unlock()
	for _, p := range h.relayCandidates() {
		r.mu.Lock()
		res, has := r.held[p]
		enough := len(r.held) >= wantedRelays
		r.mu.Unlock()
		c := h.newestDirect(p)
		if c == nil || has && res.conn == c && now.Before(res.renew) || !has && enough {
			continue
		}
		if err := h.reserveOn(ctx, c); err != nil {
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

// newestDirect is the connection over which a relay is asked: of two, the older one may lead to a process that is gone.
func (h *Host) newestDirect(p peer.ID) (newest network.Conn) {
	for _, c := range h.Network().ConnsToPeer(p) {
		if !c.IsClosed() && PathOf(c) != PathRelay && (newest == nil || c.Stat().Opened.After(newest.Stat().Opened)) {
			newest = c
		}
	}
	return newest
}

func (h *Host) reserveOn(ctx context.Context, c network.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	if h.cfg.Admit != nil {
		if err := h.cfg.Admit(ctx, c, false); err != nil {
			return err
		}
	}
	p, now := c.RemotePeer(), time.Now()
	addrs, err := askForPlace(ctx, c)
	if err != nil {
		return err
	}
	h.learnRelay(p)
	res := reservation{conn: c, renew: now.Add(reservationHalf), until: now.Add(reservationTime)}
	for _, a := range addrs {
		if a, ok := placeAt(a, p); ok && len(res.addrs) < addrsOfARelay {
			res.addrs = append(res.addrs, a)
		}
	}
	h.ConnManager().Protect(p, relayTag)
	h.reserved.mu.Lock()
	defer h.reserved.mu.Unlock()
	h.reserved.held[p] = res
	return nil
}

// askForPlace asks for a reservation over this very connection, and returns the relay's addresses, those that are good from the
// most places first. The library's client takes any connection, and refuses a place that is over by our clock, as it would be
// wherever a machine's clock is ahead.
func askForPlace(ctx context.Context, c network.Conn) ([]multiaddr.Multiaddr, error) {
	s, err := openStream(ctx, c, proto.ProtoIDv2Hop)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := util.NewDelimitedReader(s, maxReservation)
	defer r.Close()
	msg := pb.HopMessage{Type: pb.HopMessage_RESERVE.Enum()}
	if err := util.NewDelimitedWriter(s).WriteMsg(&msg); err != nil {
		s.Reset()
		return nil, err
	}
	msg.Reset()
	if err := r.ReadMsg(&msg); err != nil {
		s.Reset()
		return nil, err
	}
	if msg.GetType() != pb.HopMessage_STATUS || msg.GetStatus() != pb.Status_OK {
		return nil, fmt.Errorf("the relay refuses a place: %s", msg.GetStatus())
	}
	var addrs []multiaddr.Multiaddr
	for _, b := range msg.GetReservation().GetAddrs() {
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			addrs = append(addrs, a)
		}
	}
	slices.SortStableFunc(addrs, func(a, b multiaddr.Multiaddr) int { return cmp.Compare(distance(a), distance(b)) })
	return addrs, nil
}

// openStream opens a stream over this very connection and waits until the other side has agreed to the protocol.
func openStream(ctx context.Context, c network.Conn, id protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // the zero time is none
	err = s.SetDeadline(deadline)
	if err == nil {
		err = s.SetProtocol(id)
	}
	if err == nil {
		err = multistream.SelectProtoOrFail(id, s)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// placeAt is the address of this node by way of the relay p at a: one that leads to p, and by no other relay.
func placeAt(a multiaddr.Multiaddr, p peer.ID) (multiaddr.Multiaddr, bool) {
	at, id := peer.SplitAddr(a)
	if id != p || at == nil {
		return nil, false
	}
	for _, part := range at {
		if code := part.Protocol().Code; code == multiaddr.P_P2P || code == multiaddr.P_CIRCUIT {
			return nil, false
		}
	}
	return a.Encapsulate(multiaddr.StringCast(circuitSuffix)), true
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
		if h.direct(p) && h.usableRelay(p) {
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
