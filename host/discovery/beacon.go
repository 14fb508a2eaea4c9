package discovery

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// BeaconMode says to whom a beacon speaks.
type BeaconMode string

const (
	BeaconMulticast BeaconMode = "multicast" // to a group
	BeaconBroadcast BeaconMode = "broadcast" // to all of each network
)

// What a BeaconConfig means when a field is zero.
const (
	DefaultBeaconPort   = 4748
	DefaultBeaconGroup  = "239.255.47.47" // in the range of RFC 2365 that stays within a site
	DefaultBeaconPeriod = 30 * time.Second
)

const (
	// beaconGroup6 is a group of IPv6 that nobody has registered, and that stays within the link (RFC 4291,
	// section 2.7): "SWBN" in ASCII.
	beaconGroup6 = "ff12::5357:424e"

	sourceBeacon    = "beacon"
	minBeaconPeriod = time.Second
	linkPoll        = 10 * time.Second // not every change of an interface is an event
	// maxLinks: a machine with many containers has a bridge for each group of them.
	maxLinks = 16
	// readPause follows a failed read: no busy loop, whatever the system has to say.
	readPause = 100 * time.Millisecond

	// A whole fleet may answer a question at once, and a machine may hold dozens of nodes. A check
	// takes 0.05 ms.
	checksInAll, checksAtOnce       = 256, 1024 // signatures, a second
	checksOfSource, sourceAtOnce    = 8, 64
	answersInAll, answersAtOnce     = 32, 64 // to questions, a second
	answersToSource, sourceAsksOnce = 2, 8

	// Answers to all: as mDNS does it (RFC 6762, section 6), a little rarer. The while is shorter
	// than a command waits for what it may find.
	answerAllSoonest = 20 * time.Millisecond
	answerAllSpread  = 100 * time.Millisecond
	answerAllEvery   = 2 * time.Second
)

// BeaconConfig says how to look for peers by datagrams of our own in the local network.
type BeaconConfig struct {
	// Mode is BeaconMulticast if empty.
	Mode BeaconMode
	// Addr is where datagrams are sent: an IPv4 multicast group, zero meaning 239.255.47.47 and a group
	// of IPv6; or a broadcast address, zero meaning that of each network we are in.
	Addr netip.Addr
	// Port is where all nodes listen; 0 means 4748.
	Port int
	// Interface is the only one used, which may be the loopback. Empty means all but the loopback.
	Interface string
	// Period is the time between two announcements, or questions; 0 means 30 s. At the start there
	// are more.
	Period time.Duration
	// Announce tells others about this node; without it, it only asks.
	Announce bool
	// Prefix separates networks: nodes with another one do not notice each other.
	Prefix string
	// Changes, if set, are those of the machine's network.
	Changes *Changes
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
}

func (c BeaconConfig) withDefaults() (BeaconConfig, error) {
	c.Mode, c.Port, c.Period = cmp.Or(c.Mode, BeaconMulticast), cmp.Or(c.Port, DefaultBeaconPort), cmp.Or(c.Period, DefaultBeaconPeriod)
	if c.Mode == BeaconMulticast && !c.Addr.IsValid() {
		c.Addr = netip.MustParseAddr(DefaultBeaconGroup)
	}
	c.Logger = silentIfNil(c.Logger)
	switch {
	case c.Mode != BeaconMulticast && c.Mode != BeaconBroadcast:
		return c, fmt.Errorf("beacon mode %q: want %s or %s", c.Mode, BeaconMulticast, BeaconBroadcast)
	case c.Mode == BeaconMulticast && !(c.Addr.Is4() && c.Addr.IsMulticast()):
		return c, fmt.Errorf("beacon address %s: not an IPv4 multicast group; want for example %s", c.Addr, DefaultBeaconGroup)
	case c.Mode == BeaconBroadcast && c.Addr.IsValid() && (!c.Addr.Is4() || c.Addr.IsMulticast() || c.Addr.IsUnspecified()):
		return c, fmt.Errorf("beacon address %s: not an IPv4 broadcast address; want for example 255.255.255.255 or 192.168.1.255", c.Addr)
	case c.Port < 1 || c.Port > 65535:
		return c, fmt.Errorf("beacon port %d: want 1 to 65535", c.Port)
	case c.Period < minBeaconPeriod:
		return c, fmt.Errorf("beacon period %v: want %v at least", c.Period, minBeaconPeriod)
	}
	return c, nil
}

// speaksIPv6 reports whether the beacon speaks to a group of IPv6, too: where the group is not chosen.
func (b *Beacon) speaksIPv6() bool {
	return b.cfg.Mode == BeaconMulticast && b.cfg.Addr.String() == DefaultBeaconGroup
}

// group is where datagrams of an IP version are sent; the zero Addr is the broadcast address of each
// network.
func (b *Beacon) group(six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(beaconGroup6)
	}
	return b.cfg.Addr
}

// Beacon finds peers in the local network by UDP datagrams, also where multicast DNS does not pass.
// A datagram carries a signed peer record. Where it does not work, it says so once in the log and
// keeps trying.
type Beacon struct {
	host            host.Host
	cfg             BeaconConfig
	network         networkSum
	checks, answers *quota
	count           beaconCount
	logged          int64 // dropped datagrams that the log knows of
}

// beaconCount is what became of the datagrams that came in.
type beaconCount struct{ received, dropped, checked, answered atomic.Int64 }

// NewBeacon returns the Finder for the local network of h.
func NewBeacon(h host.Host, cfg BeaconConfig) (*Beacon, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Beacon{
		host: h, cfg: cfg, network: sumOf(cfg.Prefix),
		checks:  newQuota(rate.NewLimiter(checksInAll, checksAtOnce), checksOfSource, sourceAtOnce),
		answers: newQuota(rate.NewLimiter(answersInAll, answersAtOnce), answersToSource, sourceAsksOnce),
	}, nil
}

// String names the way.
func (b *Beacon) String() string { return sourceBeacon }

// Find listens until ctx ends.
func (b *Beacon) Find(ctx context.Context) iter.Seq[Found] {
	return sessions{sourceBeacon, b.cfg.Logger, b.cfg.Changes, b.run}.find(ctx)
}

// run is one session: it listens and sends until that fails, or our addresses or networks change.
func (b *Beacon) run(ctx context.Context, out chan<- peer.AddrInfo) error {
	changes, err := b.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("swarm-beacon"))
	if err != nil {
		return fmt.Errorf("watch own addresses: %w", err)
	}
	defer changes.Close()
	now, err := b.survey()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	s, err := b.open(ctx, now)
	if err != nil {
		return err
	}
	defer s.close() // ends the reading
	s.out = out
	for _, ear := range s.ears {
		wg.Go(func() { s.read(ctx, ear, true) })
	}
	for _, l := range s.links {
		wg.Go(func() { s.read(ctx, l.conn, false) })
		wg.Go(func() { s.answerAll(ctx, l) })
	}
	wg.Go(func() { b.endWhenOther(ctx, cancel, changes, now, len(s.links)) })
	return s.send(ctx)
}

// endWhenOther cancels when our networks or addresses are no longer what they were, and after a while
// when only some of the links are open: an address of IPv6 is not of use at once.
func (b *Beacon) endWhenOther(ctx context.Context, cancel func(), changes event.Subscription, was survey, open int) {
	defer cancel()
	poll := time.NewTicker(linkPoll)
	defer poll.Stop()
	for {
		moved := b.cfg.Changes.Next()
		select {
		case <-ctx.Done():
			return
		case <-moved:
		case <-changes.Out():
			backoff.Wait(ctx, settle)
		case <-poll.C:
			if open < len(was.links) {
				return
			}
		}
		if now, err := b.survey(); err != nil || now.String() != was.String() {
			return
		}
	}
}
