package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: a connection with a relay that lost its power, or
// its address, looks alive for half a minute and more, and the period of its keepalive cannot be set.
// Upstream: https://github.com/libp2p/go-libp2p/issues/2779,
// https://github.com/libp2p/go-libp2p/issues/2279.
// The file may go when it can be set.

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	// quietFor is how long nothing may arrive from a relay in use until it is asked whether it is there.
	quietFor  = 3 * time.Second
	quietTick = 500 * time.Millisecond
)

// watched is what is known of a connection with a relay in use.
type watched struct {
	heard  uint64    // see liveness.Watch.Heard
	at     time.Time // when it was seen to change last
	asking atomic.Bool
}

// ping closes connections to relays in use that have gone silent, until ctx ends.
func (r *Reservations) ping(ctx context.Context) {
	tick := time.NewTicker(quietTick)
	defer tick.Stop()
	var pings sync.WaitGroup
	defer pings.Wait()
	conns := make(map[network.Conn]*watched)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before := conns
		conns = make(map[network.Conn]*watched)
		for _, c := range r.conns() {
			if c.IsClosed() {
				continue
			}
			w, heard := before[c], r.cfg.Liveness.Heard(c)
			if w == nil {
				w = new(watched)
			}
			conns[c] = w
			if w.at.IsZero() || w.heard != heard {
				w.heard, w.at = heard, time.Now()
			}
			r.part(c, w)
			if time.Since(w.at) >= quietFor && w.asking.CompareAndSwap(false, true) {
				pings.Go(func() {
					defer w.asking.Store(false)
					r.pingOne(ctx, c)
				})
			}
		}
	}
}

// part closes connections by QUIC that a relay has dialled beside c, over which something was heard
// since: the relay would use them, too, and they do not outlive a change of this node's address.
func (r *Reservations) part(c network.Conn, w *watched) {
	if !outlives(c) {
		return
	}
	for _, other := range r.host.Network().ConnsToPeer(c.RemotePeer()) {
		if other.Stat().Direction == network.DirInbound && route.Of(other) != route.Relay &&
			route.IsQUIC(other.RemoteMultiaddr()) && w.at.Sub(other.Stat().Opened) > quietTick &&
			!r.cfg.Busy(other) && !carriesCircuits(other) {
			other.Close()
		}
	}
}

// carriesCircuits reports whether others have reached this node over a connection with a relay.
func carriesCircuits(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool { return s.Protocol() == proto.ProtoIDv2Stop })
}

// pingOne asks over this very connection: another one with the same relay may lead to its next
// process. Where it is dead, others with that relay may be, too.
func (r *Reservations) pingOne(ctx context.Context, c network.Conn) {
	q := r.question(c)
	q.Elsewhere = func(ctx context.Context) bool { return r.cfg.Elsewhere(ctx, c) }
	if r.cfg.Liveness.Lives(ctx, c, q) {
		return
	}
	r.cfg.Logger.Warn("a relay does not answer", "relay", c.RemotePeer())
	c.Close()
	var others sync.WaitGroup
	defer others.Wait()
	for _, other := range r.host.Network().ConnsToPeer(c.RemotePeer()) {
		others.Go(func() {
			if !other.IsClosed() && !r.cfg.Liveness.Survives(ctx, other, r.question(other)) {
				other.Close()
			}
		})
	}
}

// question asks the other end of c for a protocol: that it agrees is answer enough.
func (r *Reservations) question(c network.Conn) liveness.Question {
	return liveness.Question{Ask: func(ctx context.Context) error {
		s, err := openStream(ctx, c, ping.ID)
		if err == nil {
			s.Reset()
		}
		return err
	}}
}
