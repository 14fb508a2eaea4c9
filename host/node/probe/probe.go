// Package probe finds out which connections are dead, sooner than the library does: go-libp2p v0.51
// keeps a QUIC connection whose other end is gone for 30 s, and one over TCP until yamux misses the
// answer to a keepalive, and neither is a setting. See "dead connections" in docs/upstream.md.
package probe

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/liveness"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/reach"
)

// Prober asks suspected connections whether they live, and closes those that do not: after a change
// of address the libraries take half a minute and more to notice.
type Prober struct {
	cfg Config

	mu    sync.Mutex             // guards asked
	asked map[question]time.Time // when the last answer came, zero while a connection is asked
}

// question is whether a connection lives, or whether it survives a change of the network: that is decided
// sooner, also where the other question has been asked.
type question struct {
	conn   network.Conn
	change bool
}

// Config is what a Prober works with.
type Config struct {
	Network network.Network
	Watch   *liveness.Watch
	// Ping asks over this very connection.
	Ping func(context.Context, network.Conn) error
	// Elsewhere reports whether the peer of a connection answers in another way, and Relays returns
	// those through which this node and others reach one another.
	Elsewhere func(context.Context, network.Conn) bool
	Relays    func() []peer.ID
	// Dead closes a connection that does not answer.
	Dead func(network.Conn, network.ConnErrorCode)
	// Own starts a question in a goroutine with a context that ends with the node.
	Own    func(func(context.Context))
	Logger *slog.Logger
}

// lateAgain is how long an answer holds for a connection over which others are late.
const lateAgain = time.Second

// New returns a Prober.
func New(cfg Config) *Prober {
	return &Prober{cfg: cfg, asked: make(map[question]time.Time)}
}

// begin reports whether q is to be asked now: nobody does, and its last answer is at least that old.
func (p *Prober) begin(q question, age time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.asked[q]; ok && (at.IsZero() || time.Since(at) < age) {
		return false
	}
	p.asked[q] = time.Time{}
	return true
}

func (p *Prober) end(q question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.asked[q] = now
	maps.DeleteFunc(p.asked, func(_ question, at time.Time) bool { return !at.IsZero() && now.Sub(at) >= lateAgain })
	if q.conn.IsClosed() {
		delete(p.asked, q)
	}
}

// Suspect asks over each connection to a peer whether it lives.
func (p *Prober) Suspect(id peer.ID) { p.suspect(id, 0) }

// Late asks over a connection on which an answer is late whether it lives, and before that over those
// with our relays, which may be as dead: once they are back, so are many others. It does not block.
func (p *Prober) Late(c network.Conn) {
	for _, r := range p.cfg.Relays() {
		p.suspect(r, lateAgain)
	}
	p.ask(question{conn: c}, lateAgain)
}

func (p *Prober) suspect(id peer.ID, age time.Duration) {
	for _, c := range p.cfg.Network.ConnsToPeer(id) {
		p.ask(question{conn: c}, age)
	}
}

func (p *Prober) ask(q question, age time.Duration) {
	if p.begin(q, age) {
		p.cfg.Own(func(ctx context.Context) {
			defer p.end(q)
			p.probe(ctx, q)
		})
	}
}

func (p *Prober) probe(ctx context.Context, q question) {
	c, alive := q.conn, p.cfg.Watch.Lives
	if q.change {
		alive = p.cfg.Watch.Survives
	}
	if alive(ctx, c, liveness.Question{
		Ask:       func(ctx context.Context) error { return p.cfg.Ping(ctx, c) },
		Elsewhere: func(ctx context.Context) bool { return p.cfg.Elsewhere(ctx, c) },
		Relay:     slices.Contains(p.cfg.Relays(), c.RemotePeer()),
	}) || c.IsClosed() {
		return
	}
	p.cfg.Logger.Info("a connection is dead", "peer", c.RemotePeer(), "addr", c.RemoteMultiaddr())
	p.cfg.Dead(c, greet.DisconnectNetworkError.ConnCode())
}

// Run suspects all connections when addresses of ours are gone, until ctx ends: those of this
// machine, or those at which others saw it; and when what goes to other networks takes another way.
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
			for _, c := range p.cfg.Network.Conns() {
				p.ask(question{conn: c, change: true}, 0)
			}
		}
	}
}

// addrGone reports whether we no longer have, or no longer use, an address that we had.
func addrGone(e any) bool {
	switch e := e.(type) {
	case reach.NetworkChanged:
		return len(e.Lost) > 0 || e.Rerouted
	case event.EvtLocalAddressesUpdated:
		return slices.ContainsFunc(e.Removed, func(r event.UpdatedAddress) bool {
			_, err := r.Address.ValueForProtocol(multiaddr.P_CIRCUIT)
			return err != nil
		})
	}
	return false
}
