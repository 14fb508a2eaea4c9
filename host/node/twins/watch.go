package twins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	twinsEvery = 30 * time.Second // between looks at what may have two machines
	twinAsk    = 3 * time.Second  // for one question to one of them
	// twinSettle is between two questions: one that gives way to the next may answer still.
	twinSettle = 2 * time.Second
	// twinFresh is how long a sighting is passed on: two nodes could otherwise keep it alive
	// between them.
	twinFresh    = time.Minute
	maxElsewhere = 8 // addresses at which this node is said to be
	// elsewherePause is between two looks there: any peer can name addresses without end.
	elsewherePause = 5 * time.Second
	maxTwinTold    = 64 // members that are told of our own twin
	maxBootAddrs   = 8  // addresses of one peer that Boots asks
)

// ErrTwins is in the chain of errors about an identity that two machines run with; see Twin.Words
// for the way out.
var ErrTwins = errors.New("two machines run with one identity")

// Config is what a Watcher works with.
type Config struct {
	Self peer.ID
	// Boot names this run of the program; empty for one that shares its identity by right.
	Boot string
	// Peers returns those who have greeted on open connections.
	Peers  func() []greet.PeerInfo
	Client *streams.Client
	// Counts reports whether this node watches over a peer.
	Counts func(peer.ID) bool
	// Leads reports whether machines stay connected with a member, so that it sees all of them. A
	// worker does not lead: it must not be able to make another one hold its commands.
	Leads func(peer.ID) bool
	// Visitor makes a host with a passing identity, which the caller closes.
	Visitor func() (corehost.Host, error)
	// Hint returns what a person of this program does next about an error, to be put behind its
	// words; or nothing.
	Hint func(error) string
	// Life ends with the node, and Go runs a function in a goroutine that the node waits for when
	// it closes, with a context that ends with Life.
	Life   context.Context
	Go     func(func(context.Context))
	Logger *slog.Logger
}

// Watcher looks for two machines with one identity, that of this node or of another.
type Watcher struct {
	cfg       Config
	log       *slog.Logger
	table     table
	elsewhere elsewhere
}

// New makes a watcher.
func New(cfg Config) *Watcher { return &Watcher{cfg: cfg, log: cfg.Logger} }

// Register serves news of twins on m.
func (w *Watcher) Register(m *streams.Mux) error { return greet.TellTwins.Handle(m, w.hear) }

// Of reports whether two machines run with the identity of p, which may be this node's own.
func (w *Watcher) Of(p peer.ID) (Twin, bool) { return w.table.of(p, time.Now()) }

// All are the identities that two machines run with, as far as this node knows now: for each that
// is so until one of the two has not been seen for three minutes.
func (w *Watcher) All() []Twin { return w.table.all(time.Now()) }

// Held refuses requests with an effect while another machine has our identity, because only the
// owner knows which of the two is meant. Requests that concern rights go on: with them the owner
// ends the state.
func (w *Watcher) Held(v streams.Verb) error {
	if !v.HasEffect() || slices.Contains([]string{trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke}, string(v)) {
		return nil
	}
	if t, ok := w.Of(w.cfg.Self); ok {
		return Error(t)
	}
	return nil
}

// Error is the answer to what is held while two machines have one identity.
func Error(t Twin) *streams.Error {
	return streams.Errorf(streams.CodeConflict, "held: %w", twinError{t})
}

type twinError struct{ twin Twin }

func (e twinError) Error() string { return e.twin.Words() }
func (e twinError) Unwrap() error { return ErrTwins }

// Own is what a greeting says of our own identity.
func (w *Watcher) Own() *greet.Twins {
	t, ok := w.Of(w.cfg.Self)
	if !ok || len(t.boots) != greet.MaxTwins || time.Since(t.seen) > twinFresh {
		return nil
	}
	return &greet.Twins{Boots: t.boots, Addrs: t.Addrs}
}

// Heard takes a member's own report of a twin from its greeting, before those who wait for the
// greeting go on.
func (w *Watcher) Heard(info greet.PeerInfo) {
	if t := info.Hello.Twins; t != nil && w.cfg.Counts(info.ID) {
		w.mark(Twin{Peer: info.ID, By: info.ID, boots: t.Boots, Addrs: legibleAddrs(t.Addrs)})
	}
}

// Compare looks whether a greeting is of a second machine with an identity. A process that was
// started again is none: its old connections do not answer. Nor are two connections of one process:
// they have one boot.
func (w *Watcher) Compare(info greet.PeerInfo) {
	if !w.cfg.Counts(info.ID) || info.Hello.Boot == "" || w.cfg.Life.Err() != nil {
		return
	}
	if before, again := w.table.came(info.ID, info.Hello.Boot, info.Since, time.Now()); again {
		w.mark(Twin{
			Peer: info.ID, boots: []string{before, info.Hello.Boot},
			Addrs: []string{info.Conn.RemoteMultiaddr().String()},
		})
	}
	for _, two := range pairs(w.cfg.Peers()) {
		if two[0].ID == info.ID {
			w.cfg.Go(func(ctx context.Context) { w.askBoth(ctx, two) })
		}
	}
}

// askBoth asks both runs for an answer now, and once more a moment later. If both answer each time
// they are two machines, and both are told.
func (w *Watcher) askBoth(ctx context.Context, two pair) {
	key := runKey{two[0].ID, kindOf(two[0].Hello.Boot)}
	if !w.table.begin(key) {
		return
	}
	defer w.table.end(key)
	if !w.bothAnswer(ctx, two) {
		return
	}
	settled := time.NewTimer(twinSettle)
	defer settled.Stop()
	select {
	case <-ctx.Done():
		return
	case <-settled.C:
	}
	if w.bothAnswer(ctx, two) {
		w.tellBoth(ctx, two)
	}
}

func (w *Watcher) bothAnswer(ctx context.Context, two pair) bool {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	var alive [2]bool
	var asks sync.WaitGroup
	for i, run := range two {
		asks.Go(func() {
			_, _, err := greet.Ping.DoOn(ctx, w.cfg.Client, run.Conn, greet.PingRequest{SentAt: time.Now().UnixMilli()})
			alive[i] = err == nil
		})
	}
	asks.Wait()
	return alive[0] && alive[1]
}

// tellBoth notes that there are two, and tells them.
func (w *Watcher) tellBoth(ctx context.Context, two pair) {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	found := Twin{Peer: two[0].ID, boots: []string{two[0].Hello.Boot, two[1].Hello.Boot}}
	for _, run := range two {
		if a := run.Conn.RemoteMultiaddr().String(); !slices.Contains(found.Addrs, a) {
			found.Addrs = append(found.Addrs, a)
		}
	}
	w.mark(found)
	news := greet.TwinsNews{Peer: found.Peer, Twins: greet.Twins{Boots: found.boots, Addrs: found.Addrs}}
	var tells sync.WaitGroup
	for _, run := range two {
		tells.Go(func() {
			if _, _, err := greet.TellTwins.DoOn(ctx, w.cfg.Client, run.Conn, news); err != nil {
				w.log.Debug("a machine was not told that another has its identity", "peer", run.ID,
					"addr", run.Conn.RemoteMultiaddr(), "err", err)
			}
		})
	}
	tells.Wait()
}

// mark notes that two machines were seen. It says so once, and reports whether it is news.
func (w *Watcher) mark(t Twin) (news bool) {
	t.next = w.cfg.Hint(&trust.Blocked{Need: trust.NeedSingle, Peer: t.Peer})
	if !w.table.mark(t, time.Now()) {
		return false
	}
	level := slog.LevelWarn // a command says it at its end
	if w.cfg.Boot != "" {
		level = slog.LevelError
	}
	words := "two machines run with one identity"
	if t.Peer == w.cfg.Self {
		words = "another machine runs with this identity: commands that have an effect are held until one of the two is gone"
	}
	w.log.Log(w.cfg.Life, level, words, "peer", t.Peer, "addrs", t.Addrs, "by", t.By, "next", strings.TrimLeft(cmp.Or(t.next, wayOut), "; "))
	return true
}

// hear takes what a member says: of itself, or, from one that the machines here are led by, of us.
func (w *Watcher) hear(_ context.Context, p streams.Peer, news greet.TwinsNews) (greet.TwinsAck, error) {
	t := Twin{Peer: news.Peer, By: p.ID, boots: news.Boots, Addrs: legibleAddrs(news.Addrs)}
	switch {
	case !w.cfg.Counts(p.ID):
		return greet.TwinsAck{}, streams.Errorf(streams.CodeForbidden, "only members are heard about identities")
	case news.Peer == p.ID:
	case news.Peer != w.cfg.Self || !w.cfg.Leads(p.ID):
		return greet.TwinsAck{}, streams.Errorf(
			streams.CodeForbidden, "want news of the sender itself, or of this node by a relay or a controller")
	case !slices.Contains(news.Boots, w.cfg.Boot):
		return greet.TwinsAck{}, streams.Errorf(streams.CodeConflict, "neither is this run: it is of an earlier one")
	}
	if w.mark(t) && t.Peer == w.cfg.Self {
		w.cfg.Go(func(ctx context.Context) { w.tellLeaders(ctx, p.ID) })
	}
	return greet.TwinsAck{}, nil
}

// tellLeaders says of ourselves that another machine has our identity.
func (w *Watcher) tellLeaders(ctx context.Context, but peer.ID) {
	t := w.Own()
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	var tells sync.WaitGroup
	told := make(map[peer.ID]bool)
	for _, info := range w.cfg.Peers() {
		if p := info.ID; p == but || told[p] || !w.cfg.Leads(p) || len(told) >= maxTwinTold {
			continue
		}
		told[info.ID] = true
		tells.Go(func() {
			if _, err := greet.TellTwins.Do(ctx, w.cfg.Client, info.ID, greet.TwinsNews{Peer: w.cfg.Self, Twins: *t}); err != nil {
				w.log.Debug("a member was not told that another machine has our identity", "peer", info.ID, "err", err)
			}
		})
	}
	tells.Wait()
}

// Run looks again and again at identities that may have two machines, until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
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
		for _, two := range pairs(w.cfg.Peers()) {
			if w.cfg.Counts(two[0].ID) {
				asks.Go(func() { w.askBoth(ctx, two) })
			}
		}
		asks.Go(func() { w.lookElsewhere(ctx) })
		asks.Wait()
		w.tellLeaders(ctx, "")
		now := make(map[peer.ID]bool)
		for _, t := range w.All() {
			now[t.Peer] = true
		}
		for p := range was {
			if !now[p] {
				w.log.Info("only one machine runs with an identity, as far as is known", "peer", p)
			}
		}
		was = now
	}
}

// elsewhere are addresses that are not this node's own and at which it is said to be.
type elsewhere struct {
	mu      sync.Mutex // guards what follows
	addrs   []multiaddr.Multiaddr
	looking bool
	next    time.Time // not before which to look again
}

// add notes addresses, the newest of them, and reports whether there is a new one and nobody looks
// already.
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

// begin reports whether there is something to look at that nobody looks at yet, and how long to
// wait before that.
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

// HeardSelf takes addresses of other machines at which this node is said to be. Any peer can say
// so; the watcher looks there.
func (w *Watcher) HeardSelf(source string, addrs []multiaddr.Multiaddr) {
	w.log.Debug("this node is said to be elsewhere", "by", source, "addrs", addrs)
	if w.elsewhere.add(addrs) {
		w.cfg.Go(w.lookElsewhere)
	}
}

// lookElsewhere connects to those addresses. Only a peer that proves our own key and sends another
// boot is another machine with our identity.
func (w *Watcher) lookElsewhere(ctx context.Context) {
	wait, look := w.elsewhere.begin(time.Now())
	if !look {
		return
	}
	paused := time.NewTimer(wait)
	defer paused.Stop()
	select {
	case <-ctx.Done():
		w.elsewhere.end(nil, time.Now())
		return
	case <-paused.C:
	}
	addrs := w.elsewhere.list()
	boots := w.bootsAt(ctx, w.cfg.Self, addrs)
	var empty []multiaddr.Multiaddr
	found := Twin{Peer: w.cfg.Self}
	for i, a := range addrs {
		switch boot := boots[i]; {
		case !twoRuns(w.cfg.Boot, boot):
			empty = append(empty, a)
		case len(found.boots) == 0:
			found.boots, found.Addrs = []string{w.cfg.Boot, boot}, []string{a.String()}
		}
	}
	w.elsewhere.end(empty, time.Now())
	if len(found.boots) > 0 {
		if w.mark(found) {
			w.tellLeaders(ctx, "")
		}
	}
}

// Boots asks at some addresses of p, each by itself, which run of its program is there, and notes
// where two of one role are.
func (w *Watcher) Boots(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) {
	addrs = addrs[:min(len(addrs), maxBootAddrs)]
	boots := w.bootsAt(ctx, p, addrs)
	for i, a := range boots {
		for j, b := range boots[:i] {
			if twoRuns(a, b) {
				w.mark(Twin{Peer: p, boots: []string{b, a}, Addrs: []string{addrs[j].String(), addrs[i].String()}})
				return
			}
		}
	}
}

// bootsAt asks at each address which run of p's program is there; "" where none says so.
func (w *Watcher) bootsAt(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr) []string {
	out := make([]string, len(addrs))
	var asks sync.WaitGroup
	for i, a := range addrs {
		asks.Go(func() {
			boot, err := w.bootAt(ctx, peer.AddrInfo{ID: p, Addrs: []multiaddr.Multiaddr{a}})
			if err != nil {
				w.log.Debug("no boot is told", "peer", p, "addr", a, "err", err)
			}
			out[i] = boot
		})
	}
	asks.Wait()
	return out
}

// bootAt asks over a connection of its own, with a passing identity: a node cannot dial its own
// key, and has one connection with a peer where it would need two. The connection proves that p's
// key is there.
func (w *Watcher) bootAt(ctx context.Context, p peer.AddrInfo) (boot string, err error) {
	ctx, cancel := context.WithTimeout(ctx, twinAsk)
	defer cancel()
	h, err := w.cfg.Visitor()
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
		hello, _, err := greet.Handshake.DoOn(ctx, client, conn, greet.Hello{Version: greet.ProtocolVersion})
		return hello.Boot, err
	}
	return "", fmt.Errorf("connect to %s: %w", p.ID, dial.ErrUnreachable)
}

// legibleAddrs returns the texts that are multiaddrs.
func legibleAddrs(told []string) (out []string) {
	for _, text := range told {
		if a, err := multiaddr.NewMultiaddr(text); err == nil {
			out = append(out, a.String())
		}
	}
	return out
}
