package relay

// A repair of github.com/libp2p/go-libp2p v0.51.0: it tries a direct path once, when a circuit
// opens, and never closes a circuit that a better path has replaced. No issue is known: see
// docs/upstream.md. The file may go when the library tries new addresses of a peer that is reached
// over a relay.

import (
	"context"
	"log/slog"
	"slices"
	"strings"
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
	improveFirst   = 2 * time.Second // between attempts, doubled up to
	improveSlowest = 2 * time.Minute
	improveTimeout = 3 * time.Second
	improveDials   = 8 // at once
	// leaveRelayAfter is how long a circuit stays when there is a better path, for what is under
	// way on it to end.
	leaveRelayAfter = 5 * time.Second
)

// Improver looks for better paths to the peers that are reached over a relay, and closes circuits
// that are no longer of use. Hole punching, which the library does once for each circuit, is not
// its business; this is for machines that turn out to be in the same network, or get a public
// address.
type Improver struct {
	host corehost.Host
	cfg  ImproverConfig
	kick chan struct{}            // has a token when connections have changed
	due  map[peer.ID]*improvement // of Run alone
}

// ImproverConfig says how to dial.
type ImproverConfig struct {
	// Addrs returns the addresses of a peer that need no relay.
	Addrs func(peer.ID) []multiaddr.Multiaddr
	// Connect dials a peer at these addresses, without a pause after failed attempts.
	Connect func(context.Context, peer.AddrInfo) error
	// Busy reports whether a connection is in use.
	Busy   func(network.Conn) bool
	Logger *slog.Logger
}

type improvement struct {
	at      time.Time // of the next attempt
	pause   backoff.Backoff
	addrs   string // those tried; others are worth an attempt at once
	dialing bool
}

// NewImprover returns an Improver for the connections of h.
func NewImprover(h corehost.Host, cfg ImproverConfig) *Improver {
	return &Improver{host: h, cfg: cfg, kick: make(chan struct{}, 1), due: make(map[peer.ID]*improvement)}
}

// Wake makes Run look at the connections at once.
func (i *Improver) Wake() {
	select {
	case i.kick <- struct{}{}:
	default:
	}
}

// Run dials peers directly that are reached over a relay, and gives up circuits that are no longer of
// use, until ctx ends.
func (i *Improver) Run(ctx context.Context) error {
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
		relayed := i.relayed()
		for p := range i.due {
			if !slices.Contains(relayed, p) {
				delete(i.due, p)
			}
		}
		for _, p := range relayed {
			if dialing < improveDials && i.worthDialling(p, time.Now()) {
				dialing++
				go func() { i.dial(ctx, p); done <- p }()
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
			if d := i.due[p]; d != nil {
				d.dialing = false
			}
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

// leave closes circuits beside a better path, once that is some seconds old and nothing is under
// way on them.
func (i *Improver) leave(conns, circuits []network.Conn) bool {
	for _, c := range conns {
		if route.Of(c) != route.Relay && time.Since(c.Stat().Opened) < leaveRelayAfter {
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

// worthDialling reports whether p should be dialled directly now, and notes that it is.
func (i *Improver) worthDialling(p peer.ID, now time.Time) bool {
	addrs := i.cfg.Addrs(p)
	if route.IsDirect(i.host.Network(), p) || len(addrs) == 0 {
		return false
	}
	words := make([]string, len(addrs))
	for k, a := range addrs {
		words[k] = a.String()
	}
	slices.Sort(words)
	text := strings.Join(words, " ")
	d := i.due[p]
	if d == nil {
		d = &improvement{at: now, pause: backoff.Backoff{First: improveFirst, Most: improveSlowest}}
		i.due[p] = d
	}
	if d.addrs != text {
		d.addrs, d.at = text, now
		d.pause.Reset()
	}
	if d.dialing || now.Before(d.at) {
		return false
	}
	d.dialing, d.at = true, now.Add(d.pause.Next())
	return true
}

func (i *Improver) dial(ctx context.Context, p peer.ID) {
	ctx, cancel := context.WithTimeout(network.WithForceDirectDial(ctx, "a better path"), improveTimeout)
	defer cancel()
	if err := i.cfg.Connect(ctx, peer.AddrInfo{ID: p, Addrs: i.cfg.Addrs(p)}); err != nil {
		i.cfg.Logger.Debug("no better path than the relay", "peer", p, "err", err)
	}
}
