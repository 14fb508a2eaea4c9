package agent

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/route"
)

const (
	// bulkFrom is the size of an upload, in bytes, from which on it is worth a connection of its own.
	bulkFrom = 256 << 10
	// bulkWait is how long that connection may take.
	bulkWait = 6 * time.Second
)

// bulk has connections for what is large. Relays are dialled by QUIC, as holes are punched by it;
// but where packets are lost for other reasons than a full line, QUIC as it is here takes every loss
// for one, and TCP as kernels have it need not: on a line of 300 ms that loses 3 %, 45 KiB/s against
// 400. So what is large goes to relays by TCP, where they can be reached by it.
//
// The library has one connection with a peer at a time, so these are of a second node. It has the
// same identity, as every command has.
type bulk struct {
	open func() (*node.Node, error)

	mu    sync.Mutex // guards what follows
	users int
	node  *node.Node // nil without users
}

// newBulk returns a bulk for the connections of a controller.
func newBulk(c *Controller) *bulk {
	return &bulk{open: func() (*node.Node, error) {
		cfg := c.cfg
		cfg.MDNS, cfg.Beacon, cfg.Joined = false, nil, nil
		second, err := newController(cfg, func(_ *Controller, nc *node.Config) error {
			nc.Host.NoListen, nc.Host.NoQUIC, nc.Host.DHT, nc.Host.OnFound = true, true, host.DHTOff, nil
			nc.Greeted = nil
			return nil
		})
		if err != nil {
			return nil, err
		}
		return second.Node, nil
	}}
}

// to returns a node that is connected with p in a better way for size bytes than n is, or nil where
// there is none. release must be called when it is no longer used.
func (b *bulk) to(ctx context.Context, n *node.Node, p peer.ID, size int64) (better *node.Node, release func()) {
	at := relayOverQUIC(n, p)
	if size < bulkFrom || len(at) == 0 {
		return nil, func() {}
	}
	better, err := b.use()
	if err != nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, bulkWait)
	defer cancel()
	if better.Host.Dial(ctx, peer.AddrInfo{ID: p, Addrs: at}) != nil {
		b.release()
		return nil, func() {}
	}
	return better, b.release
}

// relayOverQUIC returns the addresses of p by the relay through which n is connected with it, by TCP;
// none where that connection does not go over QUIC and a relay.
func relayOverQUIC(n *node.Node, p peer.ID) (at []multiaddr.Multiaddr) {
	c := n.BestConn(p)
	if c == nil || route.Of(c) != route.Relay || !route.IsQUIC(c.RemoteMultiaddr()) {
		return nil
	}
	relay := route.RelayOf(c.RemoteMultiaddr())
	for _, a := range n.Peerstore().Addrs(relay) {
		if !route.IsQUIC(a) && !route.IsCircuit(a) {
			at = append(at, a.Encapsulate(route.Circuit(relay)))
		}
	}
	return at
}

// use returns the second node, which is made for its first user.
func (b *bulk) use() (*node.Node, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.node == nil {
		n, err := b.open()
		if err != nil {
			return nil, err
		}
		b.node = n
	}
	b.users++
	return b.node, nil
}

// release closes the second node when its last user has left.
func (b *bulk) release() {
	b.mu.Lock()
	b.users--
	var n *node.Node
	if b.users == 0 {
		n, b.node = b.node, nil
	}
	b.mu.Unlock()
	if n != nil {
		_ = n.Close() // what it has written is another node's, too
	}
}
