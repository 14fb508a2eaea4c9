package host

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/reach"
)

// punchTimeout is for one attempt to meet in the middle of two NATs.
const punchTimeout = 3 * time.Second

// newNode puts libp2p together: TCP, QUIC, WebSocket and circuits; Noise; yamux; our limits; no
// listener. announced makes of the node's addresses those that it announces, rank orders those of
// others.
func newNode(
	cfg Config, bounds *limits.Limits,
	announced func([]multiaddr.Multiaddr) []multiaddr.Multiaddr, rank network.DialRanker,
) (corehost.Host, error) {
	options, err := reachOptions(cfg)
	if err != nil {
		return nil, errors.Join(err, bounds.Discard())
	}
	options = append(options,
		libp2p.Identity(cfg.Identity),
		libp2p.UserAgent(cfg.UserAgent),
		libp2p.NoListenAddrs, // until Listen
		libp2p.AddrsFactory(announced),
		streamSecurity(),
		bounds.Options(),
		libp2p.PrometheusRegisterer(cfg.Metrics),
		libp2p.SwarmOpts(swarm.WithDialRanker(rank)),
		// After a hundred failed dials, as in a night without a link, these would try only every
		// hundredth.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	)
	node, err := libp2p.New(append(options, cfg.Options...)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start libp2p: %w", err), bounds.Discard())
	}
	return node, nil
}

// reachOptions are the ways to others and from others.
func reachOptions(cfg Config) ([]libp2p.Option, error) {
	options := []libp2p.Option{
		libp2p.EnableRelay(), // the transport; to serve as a relay is startRelay's
		// Dialling from the port that a node listens on would make two nodes that dial each other
		// meet halfway, both as the dialler; and a node that is started again at once could not
		// dial those it was connected with. Holes are punched by QUIC.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(websocket.New),
	}
	if len(cfg.NetworkKey) > 0 {
		options = append(options, libp2p.PrivateNetwork(cfg.NetworkKey))
	} else {
		quic, err := quicTransport()
		if err != nil {
			return nil, err
		}
		options = append(options, quic)
	}
	if cfg.NoListen {
		return options, nil
	}
	if !cfg.NoHolePunching {
		options = append(options, libp2p.EnableHolePunching(holepunch.DirectDialTimeout(punchTimeout)))
	}
	if cfg.PortMap {
		options = append(options, libp2p.NATManager(func(net network.Network) basichost.NATManager {
			return reach.NewPortMapper(net, cfg.Logger)
		}))
	}
	if cfg.AutoNAT && len(cfg.NetworkKey) == 0 {
		options = append(options, libp2p.EnableAutoNATv2())
	}
	return options, nil
}
