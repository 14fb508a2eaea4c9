package host

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"

	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/limits"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/relay"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// newNode puts libp2p together: TCP, QUIC, WebSocket and circuits; Noise; yamux; our limits; no
// listener. announced makes of the node's addresses those that it announces, rank orders those of
// others, and resolver knows their names.
func newNode(
	cfg Config, bounds *limits.Limits,
	announced func([]multiaddr.Multiaddr) []multiaddr.Multiaddr, rank network.DialRanker,
	resolver network.MultiaddrDNSResolver,
) (corehost.Host, error) {
	options, err := reachOptions(cfg)
	if err != nil {
		return nil, errors.Join(err, bounds.Discard())
	}
	options = append(options,
		libp2p.DisableRelay(), // its transport; ours, for circuits, is the same with a head start
		libp2p.WithFxOption(fx.Invoke(func(h corehost.Host, u coretransport.Upgrader) error {
			return relay.AddTransport(h, u, cfg.isMember)
		})),
		libp2p.Identity(cfg.Identity),
		libp2p.UserAgent(cfg.UserAgent),
		libp2p.NoListenAddrs, // until Listen
		libp2p.AddrsFactory(announced),
		streamSecurity(),
		bounds.Options(),
		libp2p.PrometheusRegisterer(cfg.Metrics),
		libp2p.SwarmOpts(swarm.WithDialRanker(rank)),
		libp2p.MultiaddrResolver(resolver),
		// After a hundred failed dials, as in a night without a link, these would try only every
		// hundredth.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	)
	node, err := libp2p.New(append(append(options, cfg.Options...), transport.Datagrams)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start libp2p: %w", err), bounds.Discard())
	}
	return node, nil
}

// reachOptions are the ways to others and from others.
func reachOptions(cfg Config) ([]libp2p.Option, error) {
	ways := transport.Config{
		Dial: dial.TCPDialer().DialContext, Proxy: cfg.Proxy, OwnNames: len(cfg.AllowNets)+len(cfg.DenyNets) > 0,
	}
	certificate := cfg.Certificate
	if certificate == nil && !cfg.NoListen {
		var err error
		if certificate, err = transport.SelfSigned(); err != nil {
			return nil, err
		}
	}
	options := []libp2p.Option{
		// Dialling from the port that a node listens on would make two nodes that dial each other
		// meet halfway, both as the dialler; and a node that is started again at once could not
		// dial those it was connected with. Holes are punched by QUIC.
		libp2p.Transport(transport.NewTCP(ways, tcp.DisableReuseport(), tcp.WithDialerForAddr(tcpDialer))),
		libp2p.Transport(transport.NewWebSocket(ways, certificate)),
	}
	if len(cfg.NetworkKey) > 0 {
		options = append(options, libp2p.PrivateNetwork(cfg.NetworkKey))
	} else {
		options = append(options, libp2p.WithFxOption(fx.Decorate(
			fx.Annotate(transport.ProposeAhead, fx.ParamTags("", `name:"security"`)))))
	}
	if !cfg.NoQUIC && len(cfg.NetworkKey) == 0 {
		quic, err := quicTransport()
		if err != nil {
			return nil, err
		}
		options = append(options, quic)
	}
	if cfg.NoListen {
		return options, nil
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

// tcpDialer returns what dials an address of TCP.
func tcpDialer(multiaddr.Multiaddr) (tcp.ContextDialer, error) { return dial.TCPDialer(), nil }
