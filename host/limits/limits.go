// Package limits bounds what peers can make a node do: connections and their handshakes, streams
// and the choice of their protocol, bytes of strangers, networks. All is sized for a fleet that
// sits behind a few addresses and comes back all at once, not for a public network of strangers.
package limits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

// Config says what to bound.
type Config struct {
	// MaxPeers is how many peers all is sized for.
	MaxPeers int
	// Member reports whether a peer is a member, which may do more than a stranger. Nil means that
	// there are no members: all peers are alike.
	Member func(peer.ID) bool
	// Gater is asked about every connection.
	Gater  connmgr.ConnectionGater
	Logger *slog.Logger
}

// Limits are those of one node. Give their Options to libp2p, and the node to Start.
type Limits struct {
	cfg       Config
	resources network.ResourceManager
	conns     connmgr.ConnManager
	half      *halfOpen
	waste     *waste
	life      context.Context // ends with Close
	end       context.CancelFunc
}

// New makes limits. End them with Close, or with Discard where no libp2p node was made with them.
func New(cfg Config) (*Limits, error) {
	resources, err := newResourceManager(cfg.MaxPeers, cfg.Member)
	if err != nil {
		return nil, fmt.Errorf("limit resources: %w", err)
	}
	conns, err := newConnManager(cfg.MaxPeers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("limit connections: %w", err), resources.Close())
	}
	if cfg.Member != nil {
		resources = &guardedResources{resources, cfg.Member}
	}
	l := &Limits{cfg: cfg, conns: conns, half: newHalfOpen(handshakesFor(cfg.MaxPeers)), waste: newWaste(cfg.Logger)}
	l.resources = &wasteResources{&halfOpenResources{resources, l.half}, l.waste}
	l.life, l.end = context.WithCancel(context.Background())
	return l, nil
}

// Options returns what libp2p is to ask before it accepts, reads or opens anything.
func (l *Limits) Options() libp2p.Option {
	return libp2p.ChainOptions(
		libp2p.Muxer(yamux.ID, newMuxer(l.cfg.Member)),
		libp2p.ResourceManager(l.resources),
		libp2p.ConnectionManager(l.conns),
		libp2p.ConnectionGater(&wasteGater{&halfOpenGater{l.cfg.Gater, l.half}, l.waste}),
	)
}

// Start takes the streams that others open to the new node h.
func (l *Limits) Start(h corehost.Host) {
	l.waste.begin(h.Network())
	h.Network().SetStreamHandler(newIncoming(l.life, h, l.cfg.Member).handle)
}

// Close ends what waits. Call it before that of the node, which frees the rest. It may be called
// again.
func (l *Limits) Close() {
	l.end()
	l.waste.end()
}

// Discard is Close, and frees what a libp2p node would have freed.
func (l *Limits) Discard() error {
	l.Close()
	return errors.Join(l.conns.Close(), l.resources.Close())
}
