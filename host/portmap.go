package host

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
)

const (
	mapAgain = 5 * time.Minute  // from when no router has answered to the next time that it is asked
	mapCheck = 10 * time.Second // between looks whether the router is another, or forwards no longer
	mapLost  = 2 * time.Minute  // without a forwarded port until all begins anew
	mapFirst = time.Second      // between looks until the first port is forwarded
)

// portMapper has the router forward the ports that we listen on, for as long as it runs. The library's own NAT manager looks for a
// router once, for ten seconds, and finds none that speaks NAT-PMP only: on Linux it asks for the route to 0.0.0.0, which
// go-netroute v0.4.0 refuses. So this one asks by NAT-PMP itself, then has the library ask by UPnP, and begins anew when nobody
// has answered, or the machine has moved to another router.
type portMapper struct {
	net    network.Network
	log    *slog.Logger
	router func() net.IP                                                 // the one that packets to the internet go to; nil for none
	ask    func(ctx context.Context, router net.IP) basichost.NATManager // nil when nobody answers
	end    context.CancelFunc
	done   chan struct{}

	mu sync.Mutex // guards by
	by basichost.NATManager
}

var _ basichost.NATManager = (*portMapper)(nil)

func newPortMapper(net network.Network, log *slog.Logger) *portMapper {
	m := &portMapper{net: net, log: log, router: defaultRouter}
	m.ask = m.askRouter
	m.start()
	return m
}

func (m *portMapper) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.end, m.done = cancel, make(chan struct{})
	go m.run(ctx)
}

// GetMapping returns where others reach a listener of ours through the router; nil where it forwards nothing.
func (m *portMapper) GetMapping(listener multiaddr.Multiaddr) multiaddr.Multiaddr {
	if by := m.current(); by != nil {
		return by.GetMapping(listener)
	}
	return nil
}

// HasDiscoveredNAT tells whether a router has answered.
func (m *portMapper) HasDiscoveredNAT() bool { return m.current() != nil }

// Close takes the forwarding back.
func (m *portMapper) Close() error {
	m.end()
	<-m.done
	return nil
}

func (m *portMapper) current() basichost.NATManager {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.by
}

func (m *portMapper) use(by basichost.NATManager) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.by = by
}

func (m *portMapper) run(ctx context.Context) {
	defer close(m.done)
	said := false
	for ctx.Err() == nil {
		if !m.listens() {
			wait(ctx, mapFirst)
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
			m.log.Warn("no router forwards a port to this machine, by NAT-PMP or UPnP; see whether that is on in the router, or forward the port there by hand and name it as an external address")
		}
		for began := time.Now(); time.Since(began) < mapAgain && router.Equal(m.router()); {
			if !wait(ctx, mapCheck) {
				return
			}
		}
	}
}

// askRouter looks for a router that forwards ports, by all ways in turn; nil when none has answered.
func (m *portMapper) askRouter(ctx context.Context, router net.IP) basichost.NATManager {
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
		if !wait(ctx, 100*time.Millisecond) {
			break
		}
	}
	upnp.Close()
	return nil
}

// hold returns when ctx ends, the router is another, or it has not forwarded anything for a while. It reports whether it ever has.
func (m *portMapper) hold(ctx context.Context, router net.IP) bool {
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
		if !wait(ctx, next) {
			break
		}
	}
	if said != "" && ctx.Err() == nil {
		m.log.Info("the router forwards a port no longer, or is another; asking again")
	}
	return said != ""
}

// listens says whether there is a port to forward.
func (m *portMapper) listens() bool {
	return slices.ContainsFunc(m.net.ListenAddresses(), func(a multiaddr.Multiaddr) bool {
		_, _, ok := splitPort(a)
		return ok
	})
}

func (m *portMapper) anyMapping() multiaddr.Multiaddr {
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
