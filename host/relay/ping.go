package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: a QUIC connection with a relay that was killed
// looks alive for half a minute, and the period of its keepalive cannot be set. Upstream:
// https://github.com/libp2p/go-libp2p/issues/2779, https://github.com/libp2p/go-libp2p/issues/2279.
// The file may go when it can be set.

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	// pingEvery is how often a relay in use is asked whether it is there: over QUIC a relay that was
	// killed looks alive for half a minute.
	pingEvery   = 3 * time.Second
	pingTimeout = 3 * time.Second
)

// ping closes connections to relays in use that have gone silent, until ctx ends.
func (r *Reservations) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var pings sync.WaitGroup
		for _, c := range r.conns() {
			if !c.IsClosed() && route.IsQUIC(c.RemoteMultiaddr()) {
				pings.Go(func() { r.pingOne(ctx, c) })
			}
		}
		pings.Wait()
	}
}

// pingOne asks over this very connection: another one with the same relay may lead to its next
// process. That the other side agrees to a protocol is answer enough.
func (r *Reservations) pingOne(ctx context.Context, c network.Conn) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	s, err := openStream(ctx, c, ping.ID)
	if err == nil {
		s.Reset()
	} else if ctx.Err() != context.Canceled {
		r.cfg.Logger.Warn("a relay does not answer", "relay", c.RemotePeer(), "err", err)
		c.Close()
	}
}
