package host

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multiaddr"
)

const (
	// relayPing is how often a relay in use is asked whether it is there: over QUIC a relay that was killed looks alive
	// for half a minute.
	relayPing        = 3 * time.Second
	relayPingTimeout = 3 * time.Second
)

// learnRelay notes where a relay is.
func (h *Host) learnRelay(p peer.ID) {
	h.order.relays.add(h.Peerstore().Addrs(p)...)
	if m, ok := h.book.Get(p); ok {
		h.order.relays.add(m.AddrInfo().Addrs...)
	}
}

// watchRelays closes connections to relays in use that have gone silent, until ctx ends.
func (h *Host) watchRelays(ctx context.Context) {
	var pings sync.WaitGroup
	defer pings.Wait()
	tick := time.NewTicker(relayPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, c := range h.reserved.conns() {
			if !c.IsClosed() && isQUIC(c.RemoteMultiaddr()) {
				pings.Go(func() { h.pingRelay(ctx, c) })
			}
		}
		pings.Wait()
	}
}

// pingRelay asks over this very connection: another one with the same relay may lead to its next process. That the other side
// agrees to a protocol is answer enough.
func (h *Host) pingRelay(ctx context.Context, c network.Conn) {
	ctx, cancel := context.WithTimeout(ctx, relayPingTimeout)
	defer cancel()
	s, err := openStream(ctx, c, ping.ID)
	if err == nil {
		s.Reset()
	} else if ctx.Err() != context.Canceled {
		h.log.Warn("a relay does not answer", "relay", c.RemotePeer(), "err", err)
		c.Close()
	}
}

func isQUIC(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_QUIC_V1)
	return err == nil
}
