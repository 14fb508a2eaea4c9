package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/streams"
)

// probeTime is how long a connection has to answer when it is suspected to be dead.
const probeTime = 2 * time.Second

// probes are the connections that are asked now whether they live.
type probes struct {
	mu    sync.Mutex // guards conns
	conns map[network.Conn]bool
}

func (p *probes) begin(c network.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c] {
		return false
	}
	if p.conns == nil {
		p.conns = make(map[network.Conn]bool)
	}
	p.conns[c] = true
	return true
}

func (p *probes) end(c network.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// suspect asks over each connection to a peer whether it lives, and closes those that do not: after a change of address
// the libraries take half a minute and more to notice.
func (n *Node) suspect(p peer.ID) {
	if n.life.Err() != nil {
		return
	}
	for _, c := range n.Network().ConnsToPeer(p) {
		if n.probes.begin(c) {
			n.running.Go(func() {
				defer n.probes.end(c)
				n.probe(c)
			})
		}
	}
}

func (n *Node) probe(c network.Conn) {
	ctx, cancel := context.WithTimeout(n.life, probeTime)
	defer cancel()
	_, _, err := greet.Ping.DoOn(ctx, n.Client, c, greet.PingRequest{SentAt: time.Now().UnixMilli()})
	if err == nil || streams.CodeOf(err) != streams.CodeTimeout && !c.IsClosed() || n.life.Err() != nil {
		return // it has answered something
	}
	n.log.Info("a connection is dead", "peer", c.RemotePeer(), "addr", c.RemoteMultiaddr())
	c.Close()
}

// watchAddrs suspects all connections when addresses of ours are gone, until ctx ends: those of this machine, or those at which
// others saw it.
func (n *Node) watchAddrs(ctx context.Context) error {
	changes, err := n.EventBus().Subscribe([]any{new(host.NetworkChanged), new(event.EvtLocalAddressesUpdated)}, eventbus.Name("swarm-node"))
	if err != nil {
		return err
	}
	defer changes.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-changes.Out():
			if !ok {
				return nil
			}
			if !addrGone(e) {
				continue
			}
			for _, p := range n.Network().Peers() {
				n.suspect(p)
			}
		}
	}
}

// addrGone reports whether we no longer have an address that we had.
func addrGone(e any) bool {
	switch e := e.(type) {
	case host.NetworkChanged:
		return len(e.Lost) > 0
	case event.EvtLocalAddressesUpdated:
		return slices.ContainsFunc(e.Removed, func(r event.UpdatedAddress) bool {
			_, err := r.Address.ValueForProtocol(multiaddr.P_CIRCUIT)
			return err != nil
		})
	}
	return false
}
