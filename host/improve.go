package host

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	improveEvery   = 2 * time.Second // while a peer is reached over a relay
	improveFirst   = 2 * time.Second // between attempts, doubled up to
	improveSlowest = 2 * time.Minute
	improveTimeout = 3 * time.Second
	improveDials   = 8 // at once
	// leaveRelayAfter is how long a circuit stays when there is a better path, for what is under way on it to end.
	leaveRelayAfter = 5 * time.Second
)

// improver looks for better paths to the peers that are reached over a relay. Hole punching, which the library does once
// for each circuit, is not its business; this is for machines that turn out to be in the same network, or get a public
// address.
type improver struct {
	kick chan struct{} // has a token when connections have changed
	due  map[peer.ID]*improvement
}

type improvement struct {
	at      time.Time // of the next attempt
	pause   time.Duration
	addrs   string // those tried; others are worth an attempt at once
	dialing bool
}

func newImprover() *improver {
	return &improver{kick: make(chan struct{}, 1), due: make(map[peer.ID]*improvement)}
}

func (i *improver) wake() {
	select {
	case i.kick <- struct{}{}:
	default:
	}
}

// improvePaths dials peers directly that are reached over a relay, and gives up circuits that are no longer of use, until
// ctx ends.
func (h *Host) improvePaths(ctx context.Context) {
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
		relayed := h.relayedPeers()
		for p := range h.improver.due {
			if !slices.Contains(relayed, p) {
				delete(h.improver.due, p)
			}
		}
		for _, p := range relayed {
			if dialing < improveDials && h.worthImproving(p, time.Now()) {
				dialing++
				go func() { h.dialDirect(ctx, p); done <- p }()
			}
		}
		var ticks <-chan time.Time
		if len(relayed) > 0 {
			ticks = tick.C
		}
		select {
		case <-ctx.Done():
			return
		case p := <-done:
			dialing--
			if i := h.improver.due[p]; i != nil {
				i.dialing = false
			}
		case <-h.improver.kick:
			wait(ctx, settle)
		case <-ticks:
		}
	}
}

// relayedPeers returns the peers to which a circuit is open, without those whose circuit is given up now.
func (h *Host) relayedPeers() (out []peer.ID) {
	for _, p := range h.Network().Peers() {
		conns := h.Network().ConnsToPeer(p)
		circuits := slices.DeleteFunc(slices.Clone(conns), func(c network.Conn) bool { return PathOf(c) != PathRelay })
		if len(circuits) == 0 {
			continue
		}
		if len(circuits) < len(conns) && h.leave(conns, circuits) {
			h.log.Info("a better path took the place of a relay", "peer", p, "path", PathOf(slices.MinFunc(conns, comparePaths)))
			continue
		}
		out = append(out, p)
	}
	return out
}

// leave closes circuits beside a better path, once that is some seconds old and nothing is under way on them.
func (h *Host) leave(conns, circuits []network.Conn) bool {
	for _, c := range conns {
		if PathOf(c) != PathRelay && time.Since(c.Stat().Opened) < leaveRelayAfter {
			return false
		}
	}
	if slices.ContainsFunc(circuits, h.busy) {
		return false
	}
	for _, c := range circuits {
		c.Close()
	}
	return true
}

// busy reports whether a connection carries anything but what the library begins anew by itself.
func (h *Host) busy(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool {
		id := string(s.Protocol())
		return !strings.HasPrefix(id, "/meshsub/") && !strings.HasPrefix(id, "/floodsub/") && !strings.HasPrefix(id, "/ipfs/") &&
			!strings.HasPrefix(id, "/libp2p/") && !strings.HasPrefix(id, string(h.cfg.ProtocolPrefix)+"/kad/") && id != ""
	})
}

// worthImproving reports whether p should be dialled directly now, and notes that it is.
func (h *Host) worthImproving(p peer.ID, now time.Time) bool {
	if h.direct(p) {
		return false
	}
	addrs := h.directAddrs(p)
	if len(addrs) == 0 {
		return false
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	slices.Sort(words)
	text := strings.Join(words, " ")
	i := h.improver.due[p]
	if i == nil {
		i = &improvement{at: now, pause: improveFirst}
		h.improver.due[p] = i
	}
	if i.addrs != text {
		i.addrs, i.at, i.pause = text, now, improveFirst
	}
	if i.dialing || now.Before(i.at) {
		return false
	}
	i.dialing, i.at, i.pause = true, now.Add(i.pause), min(2*i.pause, improveSlowest)
	return true
}

// directAddrs are the addresses of p that need no relay.
func (h *Host) directAddrs(p peer.ID) []multiaddr.Multiaddr {
	all := h.Peerstore().Addrs(p)
	if m, ok := h.book.Get(p); ok {
		all = slices.Concat(all, m.AddrInfo().Addrs)
	}
	return slices.DeleteFunc(all, isCircuit)
}

func (h *Host) dialDirect(ctx context.Context, p peer.ID) {
	ctx, cancel := context.WithTimeout(network.WithForceDirectDial(ctx, "a better path"), improveTimeout)
	defer cancel()
	h.clearBackoff(p)
	if err := h.Host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: h.directAddrs(p)}); err != nil {
		h.log.Debug("no better path than the relay", "peer", p, "err", err)
	}
}

// How long something large waits for a path that needs no relay.
const (
	directWait = 5 * time.Second // from when the circuit was opened: a hole is punched by then, or not at all
	directPoll = 20 * time.Millisecond
)

// AwaitDirect connects with p, and where that goes over a relay waits a few seconds for the direct path that may be on its way:
// for what is large, which had better not go through the relay. It returns in any case; that there is only the
// relay is no error. With a network key it does not wait: holes are punched by QUIC, which that rules out.
func (h *Host) AwaitDirect(ctx context.Context, p peer.ID) {
	if err := h.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		return // whoever sends will say so
	}
	punching := !h.cfg.NoListen && !h.cfg.NoHolePunching && len(h.cfg.NetworkKey) == 0
	for {
		c := h.BestConn(p)
		if c == nil || PathOf(c) != PathRelay || !punching || time.Since(c.Stat().Opened) > directWait || !wait(ctx, directPoll) {
			return
		}
	}
}
