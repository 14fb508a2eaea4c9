package transport

// A repair of github.com/libp2p/go-libp2p v0.51.0: its user cannot say how large the datagrams of QUIC
// may be, nor when a silent peer is gone. No issue is known of the former: see docs/upstream.md. The
// file may go when libp2p lets its user set InitialPacketSize, DisablePathMTUDiscovery, KeepAlivePeriod
// and MaxIdleTimeout for both ends.

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// mostDatagram bounds what QUIC sends in one datagram, in bytes: a link need not carry packets of more
// than 1,280 (RFC 8200, section 5), of which 48 are the headers of IPv6 and UDP. When a VPN came, or
// another uplink, small packets went on and large ones vanished, so that the connection looked alive
// and carried nothing; and over links of 1,280 there was no QUIC at all.
const mostDatagram = 1280 - 48

// After silence from the other end a connection of QUIC is closed; each end sends something every
// keepAlive. With the library's 15 and 30 s a worker noticed after 30 to 45 s that its controller had been
// killed, and was started anew: what it sends meanwhile is too small to be answered by a stateless reset
// (RFC 9000, section 10.3).
const (
	keepAlive = 6 * time.Second
	silence   = 20 * time.Second
)

// Datagrams has QUIC send no datagrams but those that any link carries. It is an option for libp2p that
// comes after all others: a manager of sockets that they bring is left as it is.
func Datagrams(cfg *libp2p.Config) error {
	if cfg.QUICReuse != nil {
		return nil
	}
	// What follows is as the library has it, but for the last step.
	return cfg.Apply(libp2p.QUICReuse(func(
		reset quic.StatelessResetKey, token quic.TokenGeneratorKey, resources network.ResourceManager, life fx.Lifecycle,
	) (*quicreuse.ConnManager, error) {
		options := []quicreuse.Option{
			quicreuse.ConnContext(func(ctx context.Context, from *quic.ClientInfo) (context.Context, error) {
				addr, err := quicreuse.ToQuicMultiaddr(from.RemoteAddr, quic.Version1)
				if err != nil {
					addr = nil // the resource manager decides
				}
				scope, err := resources.OpenConnection(network.DirInbound, false, addr)
				if err != nil {
					return ctx, err
				}
				context.AfterFunc(ctx, scope.Done)
				return network.WithConnManagementScope(ctx, scope), nil
			}),
			quicreuse.VerifySourceAddress(resources.VerifySourceAddress),
		}
		if !cfg.DisableMetrics {
			options = append(options, quicreuse.EnableMetrics(cfg.PrometheusRegisterer))
		}
		manager, err := quicreuse.NewConnManager(reset, token, options...)
		if err != nil {
			return nil, err
		}
		life.Append(fx.StopHook(manager.Close))
		return manager, configure(manager)
	}))
}

// configure has both ends begin with datagrams of mostDatagram and keep to them, and sets their times.
// To refuse larger ones at the socket cost 200 ms in each direction at each dial: the first counted as
// lost.
func configure(m *quicreuse.ConnManager) error {
	accepts := reflect.ValueOf(m).Elem().FieldByName("serverConfig") // there is no way to it in public
	if !accepts.IsValid() || accepts.Type() != reflect.TypeFor[*quic.Config]() || accepts.IsNil() {
		return errors.New("quicreuse keeps the configuration of listeners elsewhere")
	}
	for _, c := range []*quic.Config{m.ClientConfig(), (*quic.Config)(accepts.UnsafePointer())} {
		c.InitialPacketSize, c.DisablePathMTUDiscovery = mostDatagram, true
		c.KeepAlivePeriod, c.MaxIdleTimeout = keepAlive, silence
	}
	return nil
}
