package reach

// A repair of github.com/libp2p/go-netroute v0.4.0: on Linux it refuses the route to 0.0.0.0, by
// which the library's NAT manager looks for a router that speaks NAT-PMP only. No issue is known:
// see docs/upstream.md. The file may go when TestNoRouteToNowhere fails.

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"sync"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	pmpTimeout = time.Second      // for each answer of the router, which is near
	pmpLease   = 10 * time.Minute // so that a machine that is gone does not hold a port for long
	pmpRenew   = time.Minute      // the router may have forgotten it, or have another address
)

// pmpMapper has one router forward our ports by NAT-PMP, RFC 6886.
type pmpMapper struct {
	net    network.Network
	router pmpRouter
	wake   chan struct{} // has a token when we listen elsewhere
	end    chan struct{}
	done   chan struct{}

	mu       sync.Mutex // guards what follows
	external netip.Addr
	ports    map[port]uint16 // ours, and the router's for it
	until    time.Time       // the end of the lease
}

// pmpRouter is what is asked of a router.
type pmpRouter interface {
	GetExternalAddress() (*natpmp.GetExternalAddressResult, error)
	AddPortMapping(protocol string, internal, wanted, seconds int) (*natpmp.AddPortMappingResult, error)
}

// port is where we listen: "tcp" or "udp", and the number.
type port struct {
	protocol string
	number   uint16
}

// newPMPMapper fails when the router does not answer. It holds the ports until it is closed.
func newPMPMapper(net network.Network, router pmpRouter) (*pmpMapper, error) {
	m := &pmpMapper{
		net: net, router: router,
		wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{}),
	}
	stop := m.watchListeners()
	if err := m.renew(); err != nil {
		stop()
		return nil, err
	}
	go func() {
		defer close(m.done)
		defer stop()
		m.run()
	}()
	return m, nil
}

func (m *pmpMapper) watchListeners() (stop func()) {
	elsewhere := func(network.Network, multiaddr.Multiaddr) {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	n := &network.NotifyBundle{ListenF: elsewhere, ListenCloseF: elsewhere}
	m.net.Notify(n)
	return func() { m.net.StopNotify(n) }
}

func (m *pmpMapper) run() {
	ticker := time.NewTicker(pmpRenew)
	defer ticker.Stop()
	answers := true
	for {
		select {
		case <-m.end:
			if answers {
				m.giveBack(m.held())
			}
			return
		case <-m.wake:
		case <-ticker.C:
		}
		answers = m.renew() == nil // if not, the lease still holds for a while
	}
}

// giveBack stops at the first error: the router does not answer, and the lease ends in any case.
func (m *pmpMapper) giveBack(ports map[port]uint16) {
	for p := range ports {
		if _, err := m.router.AddPortMapping(p.protocol, int(p.number), 0, 0); err != nil {
			return
		}
	}
}

// renew asks for all ports that we listen on now, and gives those back that we do not.
func (m *pmpMapper) renew() error {
	got, err := m.router.GetExternalAddress()
	if err != nil {
		return fmt.Errorf("NAT-PMP: ask for the router's address: %w", err)
	}
	external := netip.AddrFrom4(got.ExternalIPAddress)
	if external.IsUnspecified() {
		return errors.New("NAT-PMP: the router has no address outside")
	}
	before, ports := m.held(), make(map[port]uint16)
	for _, a := range m.net.ListenAddresses() {
		p, _, ok := splitPort(a)
		if _, done := ports[p]; !ok || done {
			continue
		}
		wanted := p.number
		if had := before[p]; had != 0 {
			wanted = had
		}
		mapped, err := m.router.AddPortMapping(p.protocol, int(p.number), int(wanted), int(pmpLease.Seconds()))
		if err != nil {
			maps.DeleteFunc(ports, func(p port, _ uint16) bool { return before[p] != 0 })
			m.giveBack(ports)
			return fmt.Errorf("NAT-PMP: ask for a port: %w", err)
		}
		ports[p] = mapped.MappedExternalPort
	}
	maps.DeleteFunc(before, func(p port, _ uint16) bool { return ports[p] != 0 })
	m.giveBack(before)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.external, m.ports, m.until = external, ports, time.Now().Add(pmpLease)
	return nil
}

func (m *pmpMapper) held() map[port]uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.ports)
}

// GetMapping returns where others reach a listener of ours; nil where the router forwards nothing.
func (m *pmpMapper) GetMapping(listener multiaddr.Multiaddr) multiaddr.Multiaddr {
	p, rest, ok := splitPort(listener)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	external := m.ports[p]
	if external == 0 || time.Now().After(m.until) {
		return nil
	}
	mapped, err := multiaddr.NewMultiaddr(fmt.Sprintf("/ip4/%s/%s/%d", m.external, p.protocol, external))
	if err != nil {
		return nil
	}
	return multiaddr.Join(mapped, rest)
}

// HasDiscoveredNAT is what the interface asks for: there is no mapper without a router.
func (m *pmpMapper) HasDiscoveredNAT() bool { return true }

// Close gives the ports back.
func (m *pmpMapper) Close() error {
	close(m.end)
	<-m.done
	return nil
}

// splitPort takes the port of an IPv4 listener that others in the LAN can reach, and what follows
// it, such as /quic-v1.
func splitPort(listener multiaddr.Multiaddr) (p port, rest multiaddr.Multiaddr, ok bool) {
	ip, err := manet.ToIP(listener)
	if err != nil || ip.To4() == nil || !ip.IsGlobalUnicast() && !ip.IsUnspecified() || len(listener) < 2 {
		return p, nil, false
	}
	number, err := strconv.ParseUint(listener[1].Value(), 10, 16)
	p = port{listener[1].Protocol().Name, uint16(number)}
	return p, listener[2:], err == nil && (p.protocol == "tcp" || p.protocol == "udp")
}
