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
	maxRelayAddrs    = 256
)

// relayAddrs are addresses of relays. These are dialled by QUIC first: hole punching works over UDP, and only one who has
// sent a relay something by UDP learns how its NAT maps that.
type relayAddrs struct {
	mu    sync.RWMutex // guards addrs
	addrs map[string]struct{}
}

func (r *relayAddrs) add(addrs ...multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addrs {
		if len(r.addrs) >= maxRelayAddrs {
			return
		}
		if r.addrs == nil {
			r.addrs = make(map[string]struct{})
		}
		r.addrs[string(a.Bytes())] = struct{}{}
	}
}

func (r *relayAddrs) has(a multiaddr.Multiaddr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.addrs[string(a.Bytes())]
	return ok
}

// learnRelay notes where a relay is.
func (h *Host) learnRelay(p peer.ID) {
	h.relayAddrs.add(h.Peerstore().Addrs(p)...)
	if m, ok := h.book.Get(p); ok {
		h.relayAddrs.add(m.AddrInfo().Addrs...)
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
		for _, p := range h.reserved.relays() {
			if c := h.BestConn(p); c != nil && isQUIC(c.RemoteMultiaddr()) {
				pings.Go(func() { h.pingRelay(ctx, c) })
			}
		}
		pings.Wait()
	}
}

func (h *Host) pingRelay(ctx context.Context, c network.Conn) {
	ctx, cancel := context.WithTimeout(ctx, relayPingTimeout)
	defer cancel()
	res := <-ping.Ping(ctx, h.Host, c.RemotePeer())
	if ctx.Err() == context.DeadlineExceeded || res.Error != nil && ctx.Err() == nil {
		h.log.Warn("a relay does not answer", "relay", c.RemotePeer(), "err", res.Error)
		c.Close()
	}
}

func isQUIC(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_QUIC_V1)
	return err == nil
}
