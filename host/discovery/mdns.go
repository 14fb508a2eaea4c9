package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/zeroconf/v2"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	sourceMDNS = "mdns"
	mdnsDomain = "local"
	mdnsPort   = 4747       // a port has to be named; the addresses in the TXT records count
	dnsaddr    = "dnsaddr=" // what libp2p's mDNS records begin with

	maxAnnounced = 8 // addresses, so that an answer fits into a packet
)

// MDNSConfig says what to look for in the local network.
type MDNSConfig struct {
	// Service is the DNS-SD service name, like "_swarm._udp".
	Service string
	// Announce tells others about this node; without it, it only asks.
	Announce bool
	// Changes, if set, are those of the machine's network.
	Changes *Changes
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
}

// MDNS finds peers in the local network by multicast DNS. Answers are not authenticated. Where it
// does not work (no network, no multicast), it says so once in the log and keeps trying.
type MDNS struct {
	host host.Host
	cfg  MDNSConfig
	// session is run, except in tests of what happens when it fails.
	session func(ctx context.Context, out chan<- peer.AddrInfo) error
}

// NewMDNS returns the Finder for the local network of h.
func NewMDNS(h host.Host, cfg MDNSConfig) *MDNS {
	cfg.Logger = silentIfNil(cfg.Logger)
	m := &MDNS{host: h, cfg: cfg}
	m.session = m.run
	return m
}

// String names the way.
func (m *MDNS) String() string { return sourceMDNS }

// Find listens until ctx ends.
func (m *MDNS) Find(ctx context.Context) iter.Seq[Found] {
	return sessions{sourceMDNS, m.cfg.Logger, m.cfg.Changes, m.session}.find(ctx)
}

// run is one session: it looks, and announces if it should, until it fails or our addresses change,
// because the announcement is a snapshot of them.
func (m *MDNS) run(ctx context.Context, out chan<- peer.AddrInfo) error {
	if !hasMulticast() {
		return errors.New("no network interface with multicast is up")
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	moved := m.cfg.Changes.Next()
	if m.cfg.Announce {
		changes, err := m.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("swarm-mdns"))
		if err != nil {
			return fmt.Errorf("watch own addresses: %w", err)
		}
		defer changes.Close()
		server, err := m.register()
		if err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		defer server.Shutdown()
		wg.Go(func() { endOnChange(ctx, cancel, changes) })
	}
	wg.Go(func() {
		defer cancel()
		select {
		case <-ctx.Done():
		case <-moved: // other interfaces may be worth listening on, too
		}
	})
	return m.browse(ctx, out)
}

// endOnChange cancels when the addresses change. The newest ones come first, as an event of the
// past.
func endOnChange(ctx context.Context, cancel func(), changes event.Subscription) {
	defer cancel()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changes.Out():
			if !ok {
				return
			}
			if !first {
				backoff.Wait(ctx, settle)
				return
			}
		}
	}
}

// register announces our addresses under a random name that tells nothing about us.
//
// go-libp2p's own mdns service would do this too, but when browsing fails, as it does on a machine
// without IPv6, its Close waits forever, and it does not look without announcing.
func (m *MDNS) register() (*zeroconf.Server, error) {
	// The library's InterfaceListenAddresses would tell what was true up to a minute ago.
	addrs, err := manet.ResolveUnspecifiedAddresses(m.host.Network().ListenAddresses(), nil)
	if err != nil {
		return nil, err
	}
	text, ips := announcement(m.host.ID(), addrs)
	if len(text) == 0 {
		return nil, errors.New("not listening on any address of a network interface")
	}
	name := strings.ToLower(rand.Text())
	return zeroconf.RegisterProxy(name, m.cfg.Service, mdnsDomain, mdnsPort, name, ips, text, nil)
}

// announcement returns the TXT records, and an address for each IP version, which the DNS-SD
// standard requires.
func announcement(id peer.ID, addrs []multiaddr.Multiaddr) (text, ips []string) {
	suffix := multiaddr.StringCast("/p2p/" + id.String())
	versions := map[bool]bool{}
	for _, a := range addrs {
		ip, err := manet.ToIP(a)
		if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || len(text) >= maxAnnounced {
			continue
		}
		text = append(text, dnsaddr+a.Encapsulate(suffix).String())
		if is4 := ip.To4() != nil; !versions[is4] {
			versions[is4] = true
			ips = append(ips, ip.String())
		}
	}
	return text, ips
}

// browse asks and listens. Where one IP version is missing it uses the other.
func (m *MDNS) browse(ctx context.Context, out chan<- peer.AddrInfo) error {
	var errs error
	for _, version := range []zeroconf.IPType{zeroconf.IPv4AndIPv6, zeroconf.IPv4, zeroconf.IPv6} {
		err := m.browseOn(ctx, out, version)
		if ctx.Err() != nil {
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

func (m *MDNS) browseOn(ctx context.Context, out chan<- peer.AddrInfo, version zeroconf.IPType) error {
	// The library closes entries only when its start has succeeded, and blocks on them while it
	// runs: so the reader ends after it, and by a context of its own.
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	entries := make(chan *zeroconf.ServiceEntry, sessionQueue)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { readEntries(reading, entries, out) })
	if err := zeroconf.Browse(ctx, m.cfg.Service, mdnsDomain, entries, zeroconf.SelectIPTraffic(version)); err != nil {
		return fmt.Errorf("browse: %w", err)
	}
	return nil
}

// readEntries hands answers on and drops those that nobody has the time for: they come again.
func readEntries(ctx context.Context, entries <-chan *zeroconf.ServiceEntry, out chan<- peer.AddrInfo) {
	for {
		select {
		case <-ctx.Done():
			return
		case entry, ok := <-entries:
			if !ok {
				return
			}
			for _, info := range parseRecords(entry.Text) {
				select {
				case out <- info:
				default:
				}
			}
		}
	}
}

// hasMulticast spares us the library's complaints on standard error where it cannot work.
func hasMulticast() bool {
	interfaces, err := net.Interfaces()
	return err == nil && slices.ContainsFunc(interfaces, func(i net.Interface) bool {
		return i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0
	})
}

// parseRecords reads the peers out of TXT records that anybody in the network may have sent, with
// the addresses that a beacon could name, too. Nodes of one machine tell each other its addresses
// in the network.
func parseRecords(text []string) []peer.AddrInfo {
	var addrs []multiaddr.Multiaddr
	for _, record := range text[:min(len(text), MaxAddrs)] {
		value, ok := strings.CutPrefix(record, dnsaddr)
		if !ok {
			continue
		}
		a, err := multiaddr.NewMultiaddr(value)
		if err != nil {
			continue
		}
		if at, id := peer.SplitAddr(a); id != "" && Usable(at, false) {
			addrs = append(addrs, a)
		}
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil
	}
	return infos
}
