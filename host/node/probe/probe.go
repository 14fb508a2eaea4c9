// Package probe finds out which connections are dead, sooner than the library does: go-libp2p v0.51
// keeps a QUIC connection whose other end is gone for 30 s, and one over TCP until yamux misses the
// answer to a keepalive, and neither is a setting. See "dead connections" in docs/upstream.md.
package probe

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/streams"
)

// probeTime is how long a connection has to answer when it is suspected to be dead.
const probeTime = 2 * time.Second

// Prober asks suspected connections whether they live, and closes those that do not: after a change
// of address the libraries take half a minute and more to notice.
type Prober struct {
	net  network.Network
	ping func(context.Context, network.Conn) error
	own  func(func(context.Context))
	log  *slog.Logger

	mu    sync.Mutex            // guards conns
	conns map[network.Conn]bool // that are asked now
}

// New returns a prober that asks by ping. Each question runs in a goroutine that own starts, with a
// context that ends with the node.
func New(net network.Network, ping func(context.Context, network.Conn) error, own func(func(context.Context)),
	log *slog.Logger) *Prober {
	return &Prober{net: net, ping: ping, own: own, log: log, conns: make(map[network.Conn]bool)}
}

func (p *Prober) begin(c network.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c] {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Prober) end(c network.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Suspect asks over each connection to a peer whether it lives.
func (p *Prober) Suspect(id peer.ID) {
	for _, c := range p.net.ConnsToPeer(id) {
		if p.begin(c) {
			p.own(func(ctx context.Context) {
				defer p.end(c)
				p.probe(ctx, c)
			})
		}
	}
}

func (p *Prober) probe(ctx context.Context, c network.Conn) {
	asking, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	err := p.ping(asking, c)
	if err == nil || streams.CodeOf(err) != streams.CodeTimeout && !c.IsClosed() || ctx.Err() != nil {
		return // it has answered something
	}
	p.log.Info("a connection is dead", "peer", c.RemotePeer(), "addr", c.RemoteMultiaddr())
	c.CloseWithError(greet.DisconnectNetworkError.ConnCode())
}

// Run suspects all connections when addresses of ours are gone, until ctx ends: those of this
// machine, or those at which others saw it.
func (p *Prober) Run(ctx context.Context, bus event.Bus) error {
	changes, err := bus.Subscribe(
		[]any{new(reach.NetworkChanged), new(event.EvtLocalAddressesUpdated)}, eventbus.Name("swarm-node"))
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
			for _, id := range p.net.Peers() {
				p.Suspect(id)
			}
		}
	}
}

// addrGone reports whether we no longer have an address that we had.
func addrGone(e any) bool {
	switch e := e.(type) {
	case reach.NetworkChanged:
		return len(e.Lost) > 0
	case event.EvtLocalAddressesUpdated:
		return slices.ContainsFunc(e.Removed, func(r event.UpdatedAddress) bool {
			_, err := r.Address.ValueForProtocol(multiaddr.P_CIRCUIT)
			return err != nil
		})
	}
	return false
}
