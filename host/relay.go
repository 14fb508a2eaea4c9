package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	reservationTime = 30 * time.Minute
	circuitBuffer   = 16 << 10 // bytes, in each direction of a circuit
)

// relayService passes circuits on for members, without the limits that a public relay sets, and keeps account of the bytes.
type relayService struct {
	*relay.Relay
	meter *meter
}

// startRelay begins to serve as a relay, if the Config says so. Nobody but members is let through; a network without a notion of
// membership is relayed for nobody.
func (h *Host) startRelay() error {
	if !h.cfg.Relay {
		return nil
	}
	m := &meter{Host: Guard(h.Host, h.cfg.Admit), sent: make(map[peer.ID]int64)}
	r, err := relay.New(m,
		relay.WithResources(relay.Resources{
			ReservationTTL:  reservationTime,
			MaxReservations: h.cfg.MaxPeers, MaxReservationsPerIP: h.cfg.MaxPeers, MaxReservationsPerASN: h.cfg.MaxPeers,
			MaxCircuits: h.cfg.MaxPeers, // of one peer: a controller may reach its whole fleet this way
			BufferSize:  circuitBuffer,
		}),
		relay.WithInfiniteLimits(), // a limited circuit is cut after 128 KiB, and pubsub ignores it
		relay.WithACL(membersOnly{h.cfg.RelayFor}),
		relay.WithReservationAddressFilter(h.worthTelling),
	)
	if err != nil {
		return fmt.Errorf("start the relay: %w", err)
	}
	h.relay = &relayService{r, m}
	return nil
}

// worthTelling leaves out loopback, except on a machine that has no other address.
func (h *Host) worthTelling(a multiaddr.Multiaddr) bool {
	return !manet.IsIPLoopback(a) || !slices.ContainsFunc(h.Addrs(), func(o multiaddr.Multiaddr) bool { return !manet.IsIPLoopback(o) })
}

type membersOnly struct{ member func(peer.ID) bool }

func (m membersOnly) AllowReserve(p peer.ID, _ multiaddr.Multiaddr) bool {
	return m.member != nil && m.member(p)
}

func (m membersOnly) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	return m.member != nil && m.member(from) && m.member(to)
}

// Relayed returns how many bytes each peer has sent through this relay since it started.
func (h *Host) Relayed() map[peer.ID]int64 {
	if h.relay == nil {
		return nil
	}
	m := h.relay.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.sent)
}

// meter counts what the relay reads from each peer, on both ends of a circuit.
type meter struct {
	corehost.Host

	mu   sync.Mutex // guards sent
	sent map[peer.ID]int64
}

func (m *meter) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	m.Host.SetStreamHandler(id, func(s network.Stream) { handle(&metered{s, m}) })
}

func (m *meter) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := m.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &metered{s, m}, nil
}

type metered struct {
	network.Stream
	meter *meter
}

func (s *metered) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if n > 0 {
		s.meter.mu.Lock()
		s.meter.sent[s.Conn().RemotePeer()] += int64(n)
		s.meter.mu.Unlock()
	}
	return n, err
}

// isRelay reports whether a connected peer says that it passes circuits on.
func (h *Host) isRelay(p peer.ID) bool {
	has, err := h.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop)
	return err == nil && len(has) > 0
}

// usableRelay reports whether a connected peer passes circuits on and is one whose word counts: anybody may say that it
// is a relay.
func (h *Host) usableRelay(p peer.ID) bool { return h.isRelay(p) && h.trusted(p) }

// trusted reports whether p is a member or, where there are none, one that this node keeps.
func (h *Host) trusted(p peer.ID) bool {
	if h.cfg.Member != nil {
		return h.cfg.Member(p)
	}
	return h.keeper.has(p)
}

// direct reports whether a connection to p goes over no relay.
func (h *Host) direct(p peer.ID) bool {
	c := h.BestConn(p)
	return c != nil && PathOf(c) != PathRelay
}
