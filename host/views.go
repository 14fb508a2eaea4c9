package host

import (
	"errors"
	"slices"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/relay"
	"github.com/seed-b490fa12/swarm/host/route"
)

// basicHost is what the library's host can do beyond corehost.Host.
type basicHost interface {
	IDService() identify.IDService
	AllAddrs() []multiaddr.Multiaddr // also those that AutoNAT has not found to be reachable
}

// punches reports whether holes are punched: by QUIC, which a network key rules out.
func (c Config) punches() bool { return !c.NoListen && !c.NoHolePunching && len(c.NetworkKey) == 0 }

// views is where others see a Host, and what follows from it.
type views struct{ *Host }

// puncher returns what makes paths through NATs; nil where holes are not punched.
func (h views) puncher(n corehost.Host) *relay.Puncher {
	if !h.cfg.punches() {
		return nil
	}
	return relay.NewPuncher(n, relay.PuncherConfig{
		IDs:   func() identify.IDService { return h.Host.Host.(basicHost).IDService() },
		Addrs: h.meetingAddrs, IsRelay: h.circuits.Usable, Observed: h.observed, Metrics: h.cfg.Metrics,
	})
}

// observed takes note of where a relay sees this node now.
func (h views) observed(c network.Conn, at multiaddr.Multiaddr) {
	if h.observers.Observed(c, at) {
		h.moved(c.RemotePeer(), at)
	}
}

// moved tells that a peer sees this node elsewhere than before: other connections may be dead, as after
// a change of the machine's own addresses.
func (h views) moved(p peer.ID, at multiaddr.Multiaddr) {
	h.log.Info("this machine is seen at another address", "by", p, "addr", at)
	h.improver.Wake()
	changes, err := h.EventBus().Emitter(new(reach.NetworkChanged))
	if err == nil {
		err = errors.Join(changes.Emit(reach.NetworkChanged{Rerouted: true}), changes.Close())
	}
	if err != nil {
		h.log.Error("a change of the network goes unseen", "err", err)
	}
}

// meetingAddrs are where others may meet this node in the middle of NATs: its own public addresses, and
// those at which others see it, also with the port that it listens on.
func (h views) meetingAddrs() []multiaddr.Multiaddr {
	seen := h.observers.Addrs(func(p peer.ID) bool { return route.IsDirect(h.Network(), p) })
	seen = append(seen, reach.WithPorts(seen, h.Network().ListenAddresses())...)
	own := h.announced(h.Host.Host.(basicHost).AllAddrs())
	return slices.DeleteFunc(multiaddr.Unique(slices.Concat(seen, own)), func(a multiaddr.Multiaddr) bool {
		return route.IsCircuit(a) || !manet.IsPublicAddr(a)
	})
}
