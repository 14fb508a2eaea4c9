package reach

// A repair of github.com/libp2p/go-libp2p v0.51.0: its NAT manager looks for a router once, for ten
// seconds after the start, and for another one only after a mapping has failed three times.
// Upstream: https://github.com/libp2p/go-libp2p-nat/issues/15,
// https://github.com/libp2p/go-libp2p/pull/3367. The file may go when NewNATManager looks again
// after it has found nothing.

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	inat "github.com/libp2p/go-libp2p/p2p/net/nat"
	"github.com/libp2p/go-netroute"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	mapAgain = 5 * time.Minute  // from when no router has answered to the next time that it is asked
	mapCheck = 10 * time.Second // between looks whether the router is another, or forwards no longer
	mapLost  = 2 * time.Minute  // without a forwarded port until the search begins again
	mapFirst = time.Second      // between looks until the first port is forwarded
)

// PortMapper keeps the ports that we listen on forwarded by the router. It asks by NAT-PMP itself,
// then by the library's UPnP, and begins again when neither was answered, or the machine has moved
// to another router.
type PortMapper struct {
	net    network.Network
	log    *slog.Logger
	router func() net.IP                                                 // the one that packets to the internet go to; nil for none
	ask    func(ctx context.Context, router net.IP) basichost.NATManager // nil when none answers
	end    context.CancelFunc
	done   chan struct{}

	mu sync.Mutex // guards by
	by basichost.NATManager
}

var _ basichost.NATManager = (*PortMapper)(nil)

// NewPortMapper begins to ask for the ports that net listens on. Close ends it.
func NewPortMapper(net network.Network, log *slog.Logger) *PortMapper {
	m := &PortMapper{net: net, log: log, router: defaultRouter}
	m.ask = m.askRouter
	m.start()
	return m
}

func (m *PortMapper) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.end, m.done = cancel, make(chan struct{})
	go m.run(ctx)
}

// GetMapping returns where others reach a listener of ours through the router; nil where it
// forwards nothing.
func (m *PortMapper) GetMapping(listener multiaddr.Multiaddr) multiaddr.Multiaddr {
	if by := m.current(); by != nil {
		return by.GetMapping(listener)
	}
	return nil
}

// HasDiscoveredNAT reports whether a router has answered.
func (m *PortMapper) HasDiscoveredNAT() bool { return m.current() != nil }

// Close takes the forwarding back.
func (m *PortMapper) Close() error {
	m.end()
	<-m.done
	return nil
}

func (m *PortMapper) current() basichost.NATManager {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.by
}

func (m *PortMapper) use(by basichost.NATManager) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.by = by
}

func (m *PortMapper) run(ctx context.Context) {
	defer close(m.done)
	said := false
	for ctx.Err() == nil {
		if !m.listens() {
			backoff.Wait(ctx, mapFirst)
			continue
		}
		router := m.router()
		if by := m.ask(ctx, router); by != nil {
			m.use(by)
			forwarded := m.hold(ctx, router)
			m.use(nil)
			by.Close()
			if forwarded {
				said = false
				continue
			}
		}
		if !said && ctx.Err() == nil {
			said = true
			m.log.Warn("no router forwards a port to this machine, by NAT-PMP or UPnP; see whether that is on in the router, " +
				"or forward the port there by hand and name it as an external address")
		}
		for began := time.Now(); time.Since(began) < mapAgain && router.Equal(m.router()); {
			if !backoff.Wait(ctx, mapCheck) {
				return
			}
		}
	}
}

// askRouter looks for a router that forwards ports, by all ways in turn; nil when none has answered.
func (m *PortMapper) askRouter(ctx context.Context, router net.IP) basichost.NATManager {
	if router != nil {
		pmp, err := newPMPMapper(m.net, natpmp.NewClientWithTimeout(router, pmpTimeout))
		if err == nil {
			return pmp
		}
		m.log.Debug("the router does not speak NAT-PMP", "router", router, "err", err)
	}
	upnp := basichost.NewNATManager(m.net)
	for began := time.Now(); time.Since(began) < inat.DiscoveryTimeout+time.Second; {
		if upnp.HasDiscoveredNAT() {
			return upnp
		}
		if !backoff.Wait(ctx, 100*time.Millisecond) {
			break
		}
	}
	upnp.Close()
	return nil
}

// hold returns when ctx ends, the router is another, or it has not forwarded anything for a while. It
// reports whether it ever has.
func (m *PortMapper) hold(ctx context.Context, router net.IP) bool {
	last, said := time.Now(), ""
	for time.Since(last) < mapLost && router.Equal(m.router()) {
		next := mapFirst
		if a := m.anyMapping(); a != nil {
			last, next = time.Now(), mapCheck
			if s := a.String(); s != said {
				said = s
				m.log.Info("the router forwards a port to this machine", "addr", a)
			}
		}
		if !backoff.Wait(ctx, next) {
			break
		}
	}
	if said != "" && ctx.Err() == nil {
		m.log.Info("the router forwards a port no longer, or is another; asking again")
	}
	return said != ""
}

// listens reports whether there is a port to forward.
func (m *PortMapper) listens() bool {
	return slices.ContainsFunc(m.net.ListenAddresses(), func(a multiaddr.Multiaddr) bool {
		_, _, ok := splitPort(a)
		return ok
	})
}

func (m *PortMapper) anyMapping() multiaddr.Multiaddr {
	for _, a := range m.net.ListenAddresses() {
		if mapped := m.GetMapping(a); mapped != nil {
			return mapped
		}
	}
	return nil
}

// defaultRouter is the gateway to the internet by IPv4; nil where there is none. Nothing is sent.
func defaultRouter() net.IP {
	routes, err := netroute.New()
	if err != nil {
		return nil
	}
	_, router, _, err := routes.Route(net.IPv4(1, 1, 1, 1)) // any public address
	if err != nil {
		return nil
	}
	return router
}
