package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	twinsEvery     = 30 * time.Second // between looks at what may have two machines
	twinAsk        = 3 * time.Second  // for one question to one of them
	twinSettle     = 2 * time.Second  // between two questions: one that gives way to the next may answer still
	twinFresh      = time.Minute      // after which what was seen is not told on: else two could keep each other's knowledge alive
	maxElsewhere   = 8                // addresses at which this node is said to be
	elsewherePause = 5 * time.Second  // between two looks there: anybody in the network can name addresses without end
	maxTwinTold    = 64               // members that are told of our own twin
	maxBootAddrs   = 8                // addresses of one peer that Boots asks
)

// ErrTwins is in the chain of errors about an identity that two machines run with; see Twin.Words for the way out.
var ErrTwins = errors.New("two machines run with one identity")

// Twin reports whether two machines run with the identity of p, which may be this node's own.
func (n *Node) Twin(p peer.ID) (Twin, bool) { return n.twins.of(p, time.Now()) }

// Twins are the identities that two machines run with, as far as this node knows now: for each that is so until one of the two
// has not been seen for three minutes.
func (n *Node) Twins() []Twin { return n.twins.all(time.Now()) }

// heldBack refuses what has an effect while another machine has our identity: nobody knows which of the two it is meant for.
// What concerns trust goes on, because it is how the owner ends that.
func (n *Node) heldBack(v streams.Verb) error {
	if !v.HasEffect() || slices.Contains([]string{trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke}, string(v)) {
		return nil
	}
	if t, ok := n.Twin(n.ID()); ok {
		return TwinError(t)
	}
	return nil
}

// TwinError is the answer to what is held while two machines have one identity.
func TwinError(t Twin) *streams.Error {
	return streams.Errorf(streams.CodeConflict, "held: %w", twinError{t})
}

type twinError struct{ twin Twin }

func (e twinError) Error() string { return e.twin.Words() }
func (e twinError) Unwrap() error { return ErrTwins }

// ownTwins is what a greeting says of our own identity.
func (n *Node) ownTwins() *streams.Twins {
	t, ok := n.Twin(n.ID())
	if !ok || len(t.boots) != streams.MaxTwins || time.Since(t.seen) > twinFresh {
		return nil
	}
	return &streams.Twins{Boots: t.boots, Addrs: t.Addrs}
}

// hearHello takes what a member's greeting says of itself, before anybody who waits for the greeting goes on.
func (n *Node) hearHello(info PeerInfo) {
	if t := info.Hello.Twins; t != nil && n.counts(info.ID) {
		n.markTwins(Twin{Peer: info.ID, By: info.ID, boots: t.Boots, Addrs: legibleAddrs(t.Addrs)})
	}
}

// compareRuns looks whether a greeting is of a second machine with an identity. A process that was started again is none: its
// old connections do not answer. Nor are two connections of one process: they have one boot.
func (n *Node) compareRuns(info PeerInfo) {
	if !n.counts(info.ID) || info.Hello.Boot == "" || n.life.Err() != nil {
		return
	}
	if before, again := n.twins.came(info.ID, info.Hello.Boot, info.Since, time.Now()); again {
		n.markTwins(Twin{Peer: info.ID, boots: []string{before, info.Hello.Boot}, Addrs: []string{info.Conn.RemoteMultiaddr().String()}})
	}
	for _, two := range pairs(n.Peers()) {
		if two[0].ID == info.ID {
			n.own(func(ctx context.Context) { n.askBoth(ctx, two) })
		}
	}
}

// askBoth has both runs answer now, and once more a moment later. When they do they are two machines, and both are told.
func (n *Node) askBoth(ctx context.Context, two pair) {
	key := runKey{two[0].ID, kindOf(two[0].Hello.Boot)}
	if !n.twins.begin(key) {
		return
	}
	defer n.twins.end(key)
	if !n.bothAnswer(ctx, two) {
		return
	}
	settled := time.NewTimer(twinSettle)
	defer settled.Stop()
	select {
	case <-ctx.Done():
		return
	case <-settled.C:
	}
	if n.bothAnswer(ctx, two) {
		n.tellBoth(ctx, two)
	}
}

func (n *Node) bothAnswer(ctx context.Context, two pair) bool {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	var alive [2]bool
	var asks sync.WaitGroup
	for i, run := range two {
		asks.Go(func() {
			_, _, err := streams.Ping.DoOn(ctx, n.Client, run.Conn, streams.PingRequest{SentAt: time.Now().UnixMilli()})
			alive[i] = err == nil
		})
	}
	asks.Wait()
	return alive[0] && alive[1]
}

// tellBoth notes that there are two, and tells them.
func (n *Node) tellBoth(ctx context.Context, two pair) {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	found := Twin{Peer: two[0].ID, boots: []string{two[0].Hello.Boot, two[1].Hello.Boot}}
	for _, run := range two {
		if a := run.Conn.RemoteMultiaddr().String(); !slices.Contains(found.Addrs, a) {
			found.Addrs = append(found.Addrs, a)
		}
	}
	n.markTwins(found)
	news := streams.TwinsNews{Peer: found.Peer, Twins: streams.Twins{Boots: found.boots, Addrs: found.Addrs}}
	var tells sync.WaitGroup
	for _, run := range two {
		tells.Go(func() {
			if _, _, err := streams.TellTwins.DoOn(ctx, n.Client, run.Conn, news); err != nil {
				n.log.Debug("a machine was not told that another has its identity", "peer", run.ID, "addr", run.Conn.RemoteMultiaddr(), "err", err)
			}
		})
	}
	tells.Wait()
}

// markTwins notes that two machines were seen. It says so once, and reports whether it is news.
func (n *Node) markTwins(t Twin) (news bool) {
	if !n.twins.mark(t, time.Now()) {
		return false
	}
	level := slog.LevelWarn // a command says it at its end
	if n.cfg.Sole {
		level = slog.LevelError
	}
	words := "two machines run with one identity"
	if t.Peer == n.ID() {
		words = "another machine runs with this identity: commands that have an effect are held until one of the two is gone"
	}
	n.log.Log(n.life, level, words, "peer", t.Peer, "addrs", t.Addrs, "by", t.By, "next", twinWayOut)
	return true
}

// hearTwins takes what a member says: of itself, or, from one that the machines here are led by, of us.
func (n *Node) hearTwins(_ context.Context, p streams.Peer, news streams.TwinsNews) (streams.TwinsAck, error) {
	t := Twin{Peer: news.Peer, By: p.ID, boots: news.Boots, Addrs: legibleAddrs(news.Addrs)}
	switch {
	case !n.counts(p.ID):
		return streams.TwinsAck{}, streams.Errorf(streams.CodeForbidden, "only members are heard about identities")
	case news.Peer == p.ID:
	case news.Peer != n.ID() || !n.leads(p.ID):
		return streams.TwinsAck{}, streams.Errorf(streams.CodeForbidden, "want news of the sender itself, or of this node by a relay or a controller")
	case !slices.Contains(news.Boots, n.boot):
		return streams.TwinsAck{}, streams.Errorf(streams.CodeConflict, "neither is this run: it is of an earlier one")
	}
	if n.markTwins(t) && t.Peer == n.ID() {
		n.own(func(ctx context.Context) { n.tellLeaders(ctx, p.ID) })
	}
	return streams.TwinsAck{}, nil
}

// counts reports whether a peer is one that this node looks after: a member, or without a fleet one that its owner has saved.
func (n *Node) counts(p peer.ID) bool {
	if n.cfg.Judge.Member(p) {
		return true
	}
	m, saved := n.Book().Get(p)
	return n.cfg.Fleet == nil && saved && !m.Hint
}

// leads reports whether a member is one that machines stay connected with, and so sees who comes: no worker may have
// another held, and nobody whom only an ended issuer has named.
func (n *Node) leads(p peer.ID) bool {
	f := n.cfg.Fleet
	if f == nil {
		return n.cfg.Judge.Member(p)
	}
	m, ok := f.Known(p)
	return ok && m.Err == nil && !m.Unconfirmed && m.Grant.Role != trust.RoleWorker && m.Grant.Role != trust.RoleViewer
}

// tellLeaders says of ourselves that another machine has our identity.
func (n *Node) tellLeaders(ctx context.Context, but peer.ID) {
	t := n.ownTwins()
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	var tells sync.WaitGroup
	told := make(map[peer.ID]bool)
	for _, info := range n.Peers() {
		if p := info.ID; p == but || told[p] || !n.leads(p) || len(told) >= maxTwinTold {
			continue
		}
		told[info.ID] = true
		tells.Go(func() {
			if _, err := streams.TellTwins.Do(ctx, n.Client, info.ID, streams.TwinsNews{Peer: n.ID(), Twins: *t}); err != nil {
				n.log.Debug("a member was not told that another machine has our identity", "peer", info.ID, "err", err)
			}
		})
	}
	tells.Wait()
}

// watchTwins looks again and again at identities that may have two machines, until ctx ends.
func (n *Node) watchTwins(ctx context.Context) error {
	tick := time.NewTicker(twinsEvery)
	defer tick.Stop()
	was := make(map[peer.ID]bool)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var asks sync.WaitGroup
		for _, two := range pairs(n.Peers()) {
			if n.counts(two[0].ID) {
				asks.Go(func() { n.askBoth(ctx, two) })
			}
		}
		asks.Go(func() { n.lookElsewhere(ctx) })
		asks.Wait()
		n.tellLeaders(ctx, "")
		now := make(map[peer.ID]bool)
		for _, t := range n.Twins() {
			now[t.Peer] = true
		}
		for p := range was {
			if !now[p] {
				n.log.Info("only one machine runs with an identity, as far as is known", "peer", p)
			}
		}
		was = now
	}
}

// elsewhere are the addresses at which somebody says that this node is, and which are not its own.
type elsewhere struct {
	mu      sync.Mutex // guards what follows
	addrs   []multiaddr.Multiaddr
	looking bool
	next    time.Time // not before which to look again
}

// add notes addresses, the newest of them, and reports whether there is a new one and nobody looks already.
func (e *elsewhere) add(addrs []multiaddr.Multiaddr) (look bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	news := false
	for _, a := range addrs {
		if !multiaddr.Contains(e.addrs, a) {
			e.addrs, news = append(e.addrs, a), true
		}
	}
	e.addrs = e.addrs[max(0, len(e.addrs)-maxElsewhere):]
	return news && !e.looking
}

// begin reports whether there is something to look at that nobody looks at yet, and how long to wait before that.
func (e *elsewhere) begin(now time.Time) (wait time.Duration, look bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looking || len(e.addrs) == 0 {
		return 0, false
	}
	e.looking = true
	return e.next.Sub(now), true
}

// list returns what is to be looked at now.
func (e *elsewhere) list() []multiaddr.Multiaddr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.addrs)
}

// end forgets the addresses where nobody with our key has answered; somebody will name them again.
func (e *elsewhere) end(empty []multiaddr.Multiaddr, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looking, e.next = false, now.Add(elsewherePause)
	e.addrs = slices.DeleteFunc(e.addrs, func(a multiaddr.Multiaddr) bool { return multiaddr.Contains(empty, a) })
}

// heardSelf takes addresses of others at which this node is said to be: a hint by anybody, which is looked into.
func (n *Node) heardSelf(source string, addrs []multiaddr.Multiaddr) {
	n.log.Debug("this node is said to be elsewhere", "by", source, "addrs", addrs)
	if n.elsewhere.add(addrs) {
		n.own(n.lookElsewhere)
	}
}

// lookElsewhere asks at those addresses who is there. Only one that proves our own key, and tells another boot, is another machine
// with our identity.
func (n *Node) lookElsewhere(ctx context.Context) {
	wait, look := n.elsewhere.begin(time.Now())
	if !look {
		return
	}
	paused := time.NewTimer(wait)
	defer paused.Stop()
	select {
	case <-ctx.Done():
		n.elsewhere.end(nil, time.Now())
		return
	case <-paused.C:
	}
	addrs := n.elsewhere.list()
	boots := n.bootsAt(ctx, n.ID(), addrs)
	var empty []multiaddr.Multiaddr
	found := Twin{Peer: n.ID()}
	for i, a := range addrs {
		switch boot := boots[i]; {
		case !twoRuns(n.boot, boot):
			empty = append(empty, a)
		case len(found.boots) == 0:
			found.boots, found.Addrs = []string{n.boot, boot}, []string{a.String()}
		}
	}
	n.elsewhere.end(empty, time.Now())
	if len(found.boots) > 0 {
		if n.markTwins(found) {
			n.tellLeaders(ctx, "")
		}
	}
}

// Boots asks at some addresses of p, each by itself, which run of its program is there, and notes where two of one role are.
func (n *Node) Boots(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) {
	addrs = addrs[:min(len(addrs), maxBootAddrs)]
	boots := n.bootsAt(ctx, p, addrs)
	for i, a := range boots {
		for j, b := range boots[:i] {
			if twoRuns(a, b) {
				n.markTwins(Twin{Peer: p, boots: []string{b, a}, Addrs: []string{addrs[j].String(), addrs[i].String()}})
				return
			}
		}
	}
}

// bootsAt asks at each address which run of p's program is there; "" where none says so.
func (n *Node) bootsAt(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) []string {
	out := make([]string, len(addrs))
	var asks sync.WaitGroup
	for i, a := range addrs {
		asks.Go(func() {
			boot, err := n.bootAt(ctx, peer.AddrInfo{ID: p, Addrs: []multiaddr.Multiaddr{a}})
			if err != nil {
				n.log.Debug("no boot is told", "peer", p, "addr", a, "err", err)
			}
			out[i] = boot
		})
	}
	asks.Wait()
	return out
}

// bootAt asks over a connection of its own, as somebody with a passing identity: a node cannot dial its own key, and has one
// connection with a peer where it would need two. That p's key is there is proven by the connection.
func (n *Node) bootAt(ctx context.Context, p peer.AddrInfo) (boot string, err error) {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	key, err := host.NewIdentity()
	if err != nil {
		return "", err
	}
	c := n.cfg.Host
	h, err := host.New(host.Config{
		Identity: key, NoListen: true, NoHolePunching: true, DHT: host.DHTOff, AllowNets: c.AllowNets, DenyNets: c.DenyNets,
		NetworkKey: c.NetworkKey, Options: c.Options, MaxPeers: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.Connect(ctx, p); err != nil {
		return "", err
	}
	client := streams.NewClient(h, streams.Config{})
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, conn := range h.Network().ConnsToPeer(p.ID) {
		hello, _, err := streams.Handshake.DoOn(ctx, client, conn, streams.Hello{Version: streams.ProtocolVersion})
		return hello.Boot, err
	}
	return "", fmt.Errorf("connect to %s: %w", p.ID, host.ErrUnreachable)
}

// legibleAddrs are those of the addresses told that are multiaddrs.
func legibleAddrs(told []string) (out []string) {
	for _, text := range told {
		if a, err := multiaddr.NewMultiaddr(text); err == nil {
			out = append(out, a.String())
		}
	}
	return out
}
