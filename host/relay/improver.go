package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: it tries a direct path once, when a circuit
// opens, and never closes a circuit that a better path has replaced. No issue is known: see
// docs/upstream.md. The file may go when the library tries again for as long as a peer is reached
// over a relay.

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/backoff"
)

const (
	improveEvery   = 2 * time.Second // while a peer is reached over a relay
	improveFirst   = 2 * time.Second // between the end of an attempt and the next one
	improveTimes   = 16              // as long each time, up to
	improveSlowest = 2 * time.Minute
	improveTimeout = 3 * time.Second
	improveDials   = 16 // at once
	improveSite    = 4  // of these with peers behind one address
	improveJitter  = 0.5
	// siteFailures is after how many attempts in a row with peers behind one address one of them is
	// tried for all. An attempt that fails costs a site some 20 KiB.
	siteFailures = 3
	// improveDialFirst is between the first two dials of addresses that have not changed, and is over
	// before the second attempt; then improveTimes as long each time, up to improveDialAgain.
	improveDialFirst = improveFirst / 2
	improveDialAgain = 10 * time.Minute
	// dialledLater is how much later the end that opened a circuit begins: most holes are punched by then.
	dialledLater = 300 * time.Millisecond
	// leaveRelayAfter is how long a circuit stays when there is a better path, for what is under
	// way on it to end; and for that path to be found dead, where the circuit is the newer one.
	leaveRelayAfter = 5 * time.Second
)

// Improver looks for better paths to the peers that are reached over a relay, and closes circuits
// that are no longer of use. It dials the peer's own addresses, for machines that turn out to be in the
// same network or get a public address, and has holes punched; again and again, for as long as a peer
// is reached over a relay, because any path may be lost, and possible later.
type Improver struct {
	host corehost.Host
	cfg  ImproverConfig
	kick chan struct{} // has a token when connections have changed

	// Of Run alone.
	due   map[peer.ID]*improvement
	sites map[string]*site
}

// ImproverConfig says how to dial.
type ImproverConfig struct {
	// Addrs returns the addresses of a peer that need no relay.
	Addrs func(peer.ID) []multiaddr.Multiaddr
	// Connect dials a peer at these addresses, without a pause after failed attempts.
	Connect func(context.Context, peer.AddrInfo) error
	// Puncher makes paths through NATs; nil where there are none to be made.
	Puncher *Puncher
	// Busy reports whether a connection is in use.
	Busy   func(network.Conn) bool
	Logger *slog.Logger
}

type improvement struct {
	at      time.Time // of the next attempt
	pause   backoff.Backoff
	addrs   string    // those tried, of both ends; others are worth an attempt at once
	dial    time.Time // from when on its own addresses are worth dialling
	dials   backoff.Backoff
	dialing *site // that an attempt is counted with; nil when there is none
}

// site are the peers that are met at one address, behind one NAT: a path that cannot be made to three
// of them cannot be made to the others, and what a slow link takes to find out, twenty times over, is
// more than it has.
type site struct {
	attempts int // under way
	failures int // in a row
	at       time.Time
	pause    backoff.Backoff
}

// NewImprover returns an Improver for the connections of h.
func NewImprover(h corehost.Host, cfg ImproverConfig) *Improver {
	return &Improver{
		host: h, cfg: cfg, kick: make(chan struct{}, 1),
		due: make(map[peer.ID]*improvement), sites: make(map[string]*site),
	}
}

// Wake makes Run look at the connections at once.
func (i *Improver) Wake() {
	select {
	case i.kick <- struct{}{}:
	default:
	}
}

// Run looks for direct paths to peers that are reached over a relay, and gives up circuits that are no
// longer of use, until ctx ends.
func (i *Improver) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p := i.cfg.Puncher; p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	done := make(chan peer.ID)
	dialing := 0
	defer func() {
		for ; dialing > 0; dialing-- {
			<-done
		}
	}()
	tick := time.NewTicker(improveEvery)
	defer tick.Stop()
	for {
		if p := i.cfg.Puncher; p != nil {
			if err := p.start(ctx); err != nil {
				return err
			}
			p.follow(ctx)
		}
		relayed := i.relayed()
		i.forget(relayed)
		for _, p := range relayed {
			if dialing == improveDials {
				break
			}
			if worth, dial := i.worthAttempt(p, time.Now()); worth {
				dialing++
				go func() { i.attempt(ctx, p, dial); done <- p }()
			}
		}
		var ticks <-chan time.Time
		if len(relayed) > 0 {
			ticks = tick.C
		}
		select {
		case <-ctx.Done():
			return nil
		case p := <-done:
			dialing--
			i.attempted(p, time.Now())
		case <-i.kick:
			backoff.Wait(ctx, settle)
		case <-ticks:
		}
	}
}

// relayed returns the peers to which a circuit is open, without those whose circuit is given up now.
func (i *Improver) relayed() (out []peer.ID) {
	for _, p := range i.host.Network().Peers() {
		conns := i.host.Network().ConnsToPeer(p)
		circuits := slices.DeleteFunc(slices.Clone(conns), func(c network.Conn) bool { return route.Of(c) != route.Relay })
		if len(circuits) == 0 {
			continue
		}
		if len(circuits) < len(conns) && i.leave(conns, circuits) {
			i.cfg.Logger.Info("a better path took the place of a relay",
				"peer", p, "path", route.Of(slices.MinFunc(conns, route.Compare)))
			continue
		}
		out = append(out, p)
	}
	return out
}

// leave closes circuits beside a better path, once all of them are some seconds old and nothing is
// under way on them. A circuit that is new beside an older path is no sign that the path is better:
// it is how a peer comes back that has lost it.
func (i *Improver) leave(conns, circuits []network.Conn) bool {
	for _, c := range conns {
		if time.Since(c.Stat().Opened) < leaveRelayAfter {
			return false
		}
	}
	if slices.ContainsFunc(circuits, i.cfg.Busy) {
		return false
	}
	for _, c := range circuits {
		c.Close()
	}
	return true
}

// worthAttempt reports whether a direct path to p should be looked for now, and whether at its own
// addresses too, and notes that it is.
func (i *Improver) worthAttempt(p peer.ID, now time.Time) (worth, dial bool) {
	addrs := i.cfg.Addrs(p)
	if route.IsDirect(i.host.Network(), p) || len(addrs) == 0 && i.cfg.Puncher == nil {
		return false, false
	}
	d := i.due[p]
	if d == nil {
		d = &improvement{
			pause: backoff.Backoff{First: improveFirst, Most: improveSlowest, Jitter: improveJitter, Times: improveTimes},
			dials: backoff.Backoff{First: improveDialFirst, Most: improveDialAgain, Times: improveTimes},
		}
		if i.dialled(p) { // the other end goes on, and sees all that are behind one NAT
			d.pause.Most, d.pause.Times = improveDialAgain, int(improveDialAgain/improveFirst)
		}
		i.due[p] = d
	}
	own := i.ownAddrs()
	if text := textOf(slices.Concat(addrs, own)); d.addrs != text {
		d.addrs, d.at, d.dial = text, now, now
		d.pause.Reset()
		d.dials.Reset()
	}
	if d.dialing != nil || now.Before(d.at) {
		return false, false
	}
	s, known := i.site(p, own)
	if s.attempts >= improveSite || known && s.failures >= siteFailures && (s.attempts > 0 || now.Before(s.at)) {
		return false, false
	}
	s.attempts++
	d.dialing = s
	if dial = !now.Before(d.dial); dial {
		d.dial = now.Add(d.dials.Next())
	}
	return true, dial
}

// attempted notes what came of an attempt. Where one peer is reached directly, others at its site can
// be.
func (i *Improver) attempted(p peer.ID, now time.Time) {
	d := i.due[p]
	if d == nil || d.dialing == nil {
		return
	}
	d.dialing.attempts--
	d.dialing = nil
	s, _ := i.site(p, i.ownAddrs())
	if route.IsDirect(i.host.Network(), p) {
		s.failures = 0
		s.pause.Reset()
		for p, d := range i.due {
			if other, _ := i.site(p, i.ownAddrs()); other == s {
				d.at = now
			}
		}
		return
	}
	d.at = now.Add(d.pause.Next())
	if s.failures++; s.failures >= siteFailures {
		s.at = now.Add(s.pause.Next())
	}
}

// forget drops what is known of peers that are no longer relayed, and of sites without any.
func (i *Improver) forget(relayed []peer.ID) {
	for p, d := range i.due {
		if d.dialing == nil && !slices.Contains(relayed, p) {
			delete(i.due, p)
		}
	}
	own, used := i.ownAddrs(), make(map[*site]bool)
	for p, d := range i.due {
		s, _ := i.site(p, own)
		used[s], used[d.dialing] = true, true
	}
	maps.DeleteFunc(i.sites, func(_ string, s *site) bool { return !used[s] })
}

// site returns the site of p, as this node sees it from where it is now; all peers that have not been
// met yet, and so are at no known site, share one.
func (i *Improver) site(p peer.ID, own []multiaddr.Multiaddr) (_ *site, known bool) {
	at := ""
	if i.cfg.Puncher != nil {
		at = i.cfg.Puncher.met(p)
	}
	key := at + " from " + textOf(own)
	s := i.sites[key]
	if s == nil {
		s = &site{pause: backoff.Backoff{First: improveFirst, Most: improveSlowest, Jitter: improveJitter, Times: improveTimes}}
		i.sites[key] = s
	}
	return s, at != ""
}

func (i *Improver) ownAddrs() []multiaddr.Multiaddr {
	if i.cfg.Puncher == nil {
		return nil
	}
	return i.cfg.Puncher.cfg.Addrs()
}

func textOf(addrs []multiaddr.Multiaddr) string {
	words := make([]string, len(addrs))
	for k, a := range addrs {
		words[k] = a.String()
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// attempt looks for a direct path to p, through NATs and, if atOwn is set, at its own addresses.
func (i *Improver) attempt(ctx context.Context, p peer.ID, atOwn bool) {
	var ways sync.WaitGroup
	defer ways.Wait()
	if i.cfg.Puncher != nil {
		ways.Go(func() {
			if i.dialled(p) && !backoff.Wait(ctx, dialledLater) || route.IsDirect(i.host.Network(), p) {
				return
			}
			if err := i.cfg.Puncher.punch(p); err != nil {
				i.cfg.Logger.Debug("no hole was punched", "peer", p, "err", err)
			}
		})
	}
	addrs := i.cfg.Addrs(p)
	if len(addrs) == 0 || !atOwn {
		return
	}
	dial, cancel := context.WithTimeout(network.WithForceDirectDial(ctx, "a better path"), improveTimeout)
	defer cancel()
	if err := i.cfg.Connect(dial, peer.AddrInfo{ID: p, Addrs: addrs}); err != nil {
		i.cfg.Logger.Debug("no better path than the relay", "peer", p, "err", err)
	}
}

// dialled reports whether it was this node that opened the circuit to p.
func (i *Improver) dialled(p peer.ID) bool {
	return !slices.ContainsFunc(i.host.Network().ConnsToPeer(p), func(c network.Conn) bool {
		return c.Stat().Direction == network.DirInbound
	})
}
