// Package relay has both sides of circuits: it passes them on for members, holds reservations with
// other relays, dials through them, and leaves them where a better path is found.
package relay

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
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	reservationTime = 30 * time.Minute
	circuitBuffer   = 16 << 10 // bytes, in each direction of a circuit
)

// Service passes circuits on for members, without the limits that a public relay sets, and counts the
// bytes.
type Service struct {
	*relay.Relay
	meter *meter
}

// NewService begins to serve as a relay on h, for up to maxPeers peers. Both ends of a circuit must
// be members; a nil member lets no peer through. Close ends it.
func NewService(h corehost.Host, maxPeers int, member func(peer.ID) bool) (*Service, error) {
	m := &meter{Host: h, sent: make(map[peer.ID]int64)}
	r, err := relay.New(m,
		relay.WithResources(relay.Resources{
			ReservationTTL:  reservationTime,
			MaxReservations: maxPeers, MaxReservationsPerIP: maxPeers, MaxReservationsPerASN: maxPeers,
			MaxCircuits: maxPeers, // of one peer: a controller may reach its whole fleet this way
			BufferSize:  circuitBuffer,
		}),
		relay.WithInfiniteLimits(), // a limited circuit is cut after 128 KiB, and pubsub ignores it
		relay.WithACL(membersOnly{member}),
		relay.WithReservationAddressFilter(func(a multiaddr.Multiaddr) bool { return announces(h, a) }),
	)
	if err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	return &Service{r, m}, nil
}

// Relayed returns how many bytes each peer has sent through this relay since it started.
func (s *Service) Relayed() map[peer.ID]int64 {
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	return maps.Clone(s.meter.sent)
}

// announces reports whether others are given an address: not one of the loopback, except on a machine
// that has no other.
func announces(h corehost.Host, a multiaddr.Multiaddr) bool {
	return !manet.IsIPLoopback(a) ||
		!slices.ContainsFunc(h.Addrs(), func(o multiaddr.Multiaddr) bool { return !manet.IsIPLoopback(o) })
}

type membersOnly struct{ member func(peer.ID) bool }

func (m membersOnly) AllowReserve(p peer.ID, _ multiaddr.Multiaddr) bool {
	return m.member != nil && m.member(p)
}

func (m membersOnly) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	return m.member != nil && m.member(from) && m.member(to)
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
