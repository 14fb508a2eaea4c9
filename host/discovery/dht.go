package discovery

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/routing"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	sourceDHT = "dht"

	readyPoll  = 20 * time.Millisecond  // the library has no event for the first neighbour
	firstRound = 250 * time.Millisecond // between questions while we know little
	// lastRound is between questions when nothing changes: each connects with everybody for a
	// while.
	lastRound   = 3 * time.Hour
	changeRound = 5 * time.Second // after the neighbourhood has changed, where it is small
	// smallRound: rounds come twice as late each time until then, and then four times.
	smallRound = 8 * time.Second
	largeRound = 30 * time.Second // the first pause of one who has many neighbours
	smallTable = 8                // neighbours; who has more finds the others in time
	roundTime  = 15 * time.Second // for one question
	// republish: provider records live 48 h, but the nodes that hold them do not.
	republish     = 3 * time.Hour
	announceRetry = time.Minute
	// noHurry is the time in which one who needs nobody announces itself: with a fleet that starts
	// at once it connects with dozens.
	noHurry = 10 * time.Minute
)

// DHTConfig says which DHT to take part in, and how.
type DHTConfig struct {
	// Prefix is put before the DHT's protocol ID, so that networks never mix: "/swarm" gives
	// /swarm/kad/1.0.0.
	Prefix protocol.ID
	// Server answers others and announces this node; without it the node only asks.
	Server bool
	// Enough, if set, tells that this node needs no other peers now: then it makes itself known,
	// and asks for nobody.
	Enough func() bool
	// Logger gets what happens. Nil means silent.
	Logger *slog.Logger
}

// DHT finds peers through a private Kademlia DHT: those that announced themselves under the
// network's name, and, faster, the neighbours of our own key. It works as soon as the host is
// connected to one member.
type DHT struct {
	host   host.Host
	cfg    DHTConfig
	kad    *dht.IpfsDHT
	rdv    *routing.RoutingDiscovery
	name   string
	closed sync.Once
	err    error
}

// NewDHT makes this host a part of the DHT and registers its handlers, so it belongs before
// listening. Close it after the last Find has ended.
func NewDHT(h host.Host, cfg DHTConfig) (*DHT, error) {
	cfg.Logger = silentIfNil(cfg.Logger)
	mode := dht.ModeClient
	if cfg.Server {
		// The automatic mode never becomes a server in a LAN.
		mode = dht.ModeServer
	}
	kad, err := dht.New(h,
		dht.Mode(mode),
		dht.ProtocolPrefix(cfg.Prefix),
		dht.DisableValues(),
		dht.DisableAutoRefresh(), // Find does what is needed
		dht.ProviderDatastore(newRecords(maxRecords)),
	)
	if err != nil {
		return nil, fmt.Errorf("start dht %s: %w", cfg.Prefix, err)
	}
	return &DHT{host: h, cfg: cfg, kad: kad, rdv: routing.NewRoutingDiscovery(kad), name: string(cfg.Prefix) + "/members"}, nil
}

// String names the way.
func (d *DHT) String() string { return sourceDHT }

// Close leaves the DHT. It may be called again.
func (d *DHT) Close() error {
	d.closed.Do(func() { d.err = d.kad.Close() })
	return d.err
}

// Ready reports whether we know a member to ask.
func (d *DHT) Ready() bool { return d.kad.RoutingTable().Size() > 0 }

// WaitReady waits until Ready, or returns false when ctx ends first. A connection with a member has
// to be made by others.
func (d *DHT) WaitReady(ctx context.Context) bool {
	for !d.Ready() {
		if !backoff.Wait(ctx, readyPoll) {
			return false
		}
	}
	return true
}

// FindPeer asks the DHT for the addresses of one peer.
func (d *DHT) FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	info, err := d.kad.FindPeer(ctx, p)
	return bounded(sourceDHT, info).AddrInfo, err
}

// Find asks often at first and whenever our neighbourhood changes, and rarely when nothing does. A
// server announces itself in between.
func (d *DHT) Find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		published := announced{next: time.Now().Add(rand.N(noHurry))}
		delay := firstRound
		for last := -1; ctx.Err() == nil; {
			size := d.kad.RoutingTable().Size()
			enough := d.cfg.Enough != nil && d.cfg.Enough()
			if size > 0 {
				if published.due(size, enough) {
					d.announce(ctx, &published, size)
				}
				if !enough && !d.ask(ctx, yield) {
					return
				}
			}
			delay = later(delay, size)
			last = size
			if enough {
				delay = min(delay, max(firstRound, time.Until(published.next)))
			}
			if !d.wait(ctx, delay, last, enough) {
				return
			}
		}
	}
}

// later is the pause after one of the given length, with so many neighbours. One who has many can
// take its time: in each round it connects with dozens.
func later(delay time.Duration, neighbours int) time.Duration {
	switch {
	case neighbours == 0:
		return firstRound
	case neighbours >= smallTable:
		return min(max(4*delay, largeRound), lastRound)
	case delay < smallRound:
		return 2 * delay
	}
	return min(4*delay, lastRound)
}

// wait pauses between two rounds, cut short when a small routing table is no longer of the size it
// was. In a large fleet it changes all the time, and everybody would ask everybody. It is cut
// short, too, when what was enough no longer is.
func (d *DHT) wait(ctx context.Context, delay time.Duration, size int, enough bool) bool {
	delay += rand.N(delay/4 + 1)
	for waited := time.Duration(0); waited < delay; {
		step := min(changeRound, delay-waited)
		if !backoff.Wait(ctx, step) {
			return false
		}
		waited += step
		if enough {
			if !d.cfg.Enough() {
				return true
			}
		} else if size < smallTable && d.kad.RoutingTable().Size() != size {
			return true
		}
	}
	return true
}

// announced remembers with how many neighbours we have announced ourselves, and when to do so
// again.
type announced struct {
	size int
	next time.Time
}

// due tells whether it is time to announce ourselves. Who needs nobody waits for its turn; others
// do it whenever their neighbourhood has changed.
func (a *announced) due(size int, enough bool) bool {
	return !enough && size != a.size || !time.Now().Before(a.next)
}

func (d *DHT) announce(ctx context.Context, published *announced, size int) {
	if !d.cfg.Server {
		published.next = time.Now().Add(republish)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	if _, err := d.rdv.Advertise(ctx, d.name); err != nil {
		d.cfg.Logger.Debug("announcing in the dht failed, will try again", "err", err)
		published.next = time.Now().Add(announceRetry)
		return
	}
	published.size, published.next = size, time.Now().Add(republish)
}

// ask yields what one question finds: neighbours we know, neighbours of our key, then those who
// announced themselves.
func (d *DHT) ask(ctx context.Context, yield func(Found) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	seen := map[peer.ID]bool{d.host.ID(): true}
	found := func(info peer.AddrInfo) bool {
		if seen[info.ID] {
			return true
		}
		if len(info.Addrs) == 0 {
			info.Addrs = d.host.Peerstore().Addrs(info.ID)
		}
		if len(info.Addrs) == 0 {
			return true
		}
		seen[info.ID] = true
		return yield(bounded(sourceDHT, info))
	}
	for _, p := range d.kad.RoutingTable().ListPeers() {
		if !found(peer.AddrInfo{ID: p}) {
			return false
		}
	}
	near, err := d.kad.GetClosestPeers(ctx, string(d.host.ID()))
	if err != nil {
		d.cfg.Logger.Debug("asking the dht for neighbours failed, will try again", "err", err)
	}
	for _, p := range near {
		if !found(peer.AddrInfo{ID: p}) {
			return false
		}
	}
	return d.askMembers(ctx, found)
}

func (d *DHT) askMembers(ctx context.Context, found func(peer.AddrInfo) bool) bool {
	// Leaving the loop early must end the query, or its goroutines wait for a reader.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	members, err := d.rdv.FindPeers(ctx, d.name, limitTo(MaxPeers))
	if err != nil {
		d.cfg.Logger.Debug("asking the dht for members failed, will try again", "err", err)
		return true
	}
	more := true
	for info := range members {
		if more = more && found(info); !more {
			cancel()
		}
	}
	return more
}
