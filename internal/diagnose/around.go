package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	portal     = "A PORTAL OR PROXY: something between answers in the place of machines"
	portalNext = "sign in to the network that this machine is in, or use another one; behind a proxy, a relay that listens on tcp/443 may help"
	dnsNext    = "look after the name server of this machine; or save an IP address of the machine, too: swarm peers add MADDR"

	slow      = time.Second // of a round trip that is worth a word
	maxOthers = 3           // machines that are asked whether anybody answers at all
	// beforeProbes is after how long without an answer the addresses are listened to by plain TCP.
	beforeProbes = time.Second
)

// surroundings is what came of all attempts.
type surroundings struct {
	tried  []dial.Tried      // the addresses of the machine
	others []dial.Tried      // those of a few others
	asked  int               // how many others
	alive  bool              // one of the others answers, or is connected
	heard  map[string]spoken // at the addresses of the machine
	beside map[string]spoken // at those of the others
}

// portal reports whether something answers in the place of machines.
func (s *surroundings) portal() bool {
	odd := func(heard map[string]spoken) bool { return hears(heard, mute) || hears(heard, speaksOther) }
	return hears(s.heard, speaksHTTP) || s.nobody() && (hears(s.beside, speaksHTTP) || odd(s.heard) || odd(s.beside))
}

// nobody reports whether neither the machine nor any other answers.
func (s *surroundings) nobody() bool {
	ok := func(t dial.Tried) bool { return t.Err == nil }
	return s.asked > 0 && !s.alive && !slices.ContainsFunc(s.tried, ok)
}

func (s *surroundings) nobodyText() string {
	return fmt.Sprintf("THIS MACHINE'S NETWORK: nobody answers, and neither do %d others that were tried", s.asked)
}

// lookAround tries the addresses of a machine, and at the same time whether anybody else answers. It
// listens by plain TCP to addresses that have not answered for a while.
func lookAround(ctx context.Context, n Node, a Asker, p peer.ID) (s surroundings) {
	var all sync.WaitGroup
	listening, found := context.WithCancel(ctx)
	defer found()
	ctx, known := context.WithCancel(ctx)
	defer known()
	if p != n.ID() {
		all.Go(func() { s.tried = n.Try(ctx, p) })
	}
	others, alive := someOthers(n, a, p)
	s.asked, s.alive = len(others), alive
	own := func(a multiaddr.Multiaddr) bool { return n.Forbids(a, p) }
	addrs := slices.DeleteFunc(n.Book().Addrs(p), own)
	var besides []multiaddr.Multiaddr
	tried := make([][]dial.Tried, len(others))
	if !alive {
		for i, o := range others {
			besides = append(besides, n.Book().Addrs(o)...)
			all.Go(func() { tried[i] = n.Try(ctx, o) })
		}
	}
	besides = slices.DeleteFunc(besides, own)
	heard, begin := make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-time.After(min(beforeProbes, timeLeft(ctx)/3)):
		case <-begin:
		}
		defer close(heard)
		var probes sync.WaitGroup
		probes.Go(func() { s.heard = probeAll(listening, addrs) })
		probes.Go(func() { s.beside = probeAll(listening, besides) })
		probes.Wait()
		if hears(s.heard, speaksHTTP) || len(s.heard) == 0 && hears(s.beside, speaksHTTP) {
			known() // it is known why nobody answers
		}
	}()
	all.Wait()
	s.others = slices.Concat(tried...)
	answered := func(t dial.Tried) bool { return t.Err == nil }
	s.alive = s.alive || slices.ContainsFunc(s.others, answered)
	if slices.ContainsFunc(s.tried, answered) || !slices.ContainsFunc(slices.Concat(s.tried, s.others), mayBeHeard) {
		found() // nothing to listen for
	}
	close(begin)
	<-heard
	return s
}

// mayBeHeard reports whether an attempt failed in a way that listening may explain.
func mayBeHeard(t dial.Tried) bool {
	return t.Err != nil && plainTCP(t.Addr) && codeOf(t.Err) == "" && !errors.Is(t.Err, syscall.ECONNREFUSED)
}

func timeLeft(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(end)
}

// isLate reports whether an attempt ended with its time.
func isLate(t dial.Tried) bool {
	var late interface{ Timeout() bool }
	return errors.As(t.Err, &late) && late.Timeout() || errors.Is(t.Err, context.DeadlineExceeded) || errors.Is(t.Err, os.ErrDeadlineExceeded)
}

// someOthers returns a few machines that are likely to answer: relays, and those seen last. alive
// says that one is connected, which then need not be asked.
func someOthers(n Node, a Asker, but peer.ID) (others []peer.ID, alive bool) {
	saved := slices.DeleteFunc(n.Book().All(), func(e book.Entry) bool {
		return e.Peer == but || e.Peer == n.ID() || e.Hint || !e.HasAddr()
	})
	slices.SortFunc(saved, func(x, y book.Entry) int {
		return cmp.Or(cmp.Compare(rank(y), rank(x)), cmp.Compare(y.LastSeen, x.LastSeen))
	})
	for _, e := range saved {
		alive = alive || a.PathInWords(e.Peer) != ""
		if len(others) < maxOthers {
			others = append(others, e.Peer)
		}
	}
	return others, alive
}

func rank(e book.Entry) int {
	if e.Role == string(trust.RoleRelay) {
		return 1
	}
	return 0
}

// codeOf names why an address is no good, where that says more than that it is silent.
func codeOf(err error) Code {
	for _, row := range []struct {
		err  error
		code Code
	}{
		{host.ErrClocks, CodeClock},
		{host.ErrOtherPeer, CodeOther},
		{host.ErrDenied, CodeDenied},
		{host.ErrNoRoute, CodeNetwork},
		{names.ErrServer, CodeDNS},
		{names.ErrUnknown, CodeName},
	} {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return ""
}

// notes says what is wrong around a machine that can be reached all the same.
func (x *examination) notes(around surroundings, answered bool) {
	kinds := func(kind error) bool {
		return slices.ContainsFunc(around.tried, func(t dial.Tried) bool { return errors.Is(t.Err, kind) })
	}
	if !answered && len(around.tried) > 0 {
		x.add("dials", LevelOK, "none of its addresses can be dialled from here: it is connected because it has dialled, or by a relay", "")
	}
	if kinds(names.ErrServer) {
		x.addCode(CodeDNS, "dns", LevelWarn, "the name server of this machine does not answer", dnsNext)
	}
	if kinds(names.ErrUnknown) {
		x.addCode(CodeName, "dns", LevelWarn, "a name of its addresses does not exist, or has no address", "mend the name, or save another address: swarm peers add MADDR")
	}
	v4, v6, dark := false, false, false
	for _, t := range around.tried {
		if route.RelayOf(t.Addr) != "" || !manet.IsPublicAddr(t.Addr) {
			continue
		}
		if _, err := t.Addr.ValueForProtocol(multiaddr.P_IP6); err == nil {
			v6, dark = v6 || t.Err == nil, dark || isLate(t)
		} else {
			v4 = v4 || t.Err == nil
		}
	}
	if v4 && dark && !v6 {
		x.addCode(CodeIPv6, "ipv6", LevelWarn, "this machine has an address and a route for IPv6, and nothing comes back; IPv4 answers",
			"look after IPv6 here or there, or turn it off: until then each new connection may wait for it")
	}
}

// around adds what is wrong around this machine: that nobody answers, and that all hangs on one
// relay.
func (d *Diagnosis) around(ctx context.Context, n Node, a Asker) {
	if relay, ok := loneRelay(n); ok {
		d.addCode(CodeOneRelay, "relay", LevelWarn, relay+" is the only relay, and known by its IP address only: if that changes, nobody finds it",
			"give it a name (swarm peers add /dns4/NAME/… --name "+relay+"), or run a second one: swarm relay")
	}
	if streams.CodeOf(d.Err) != streams.CodeUnavailable {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeLeft(ctx)*4/5)
	defer cancel()
	s := lookAround(ctx, n, a, n.ID())
	switch {
	case s.alive:
		d.add("network", LevelOK, "machines answer: they are about to be connected", "")
		d.Err = nil
	case s.portal():
		d.addCode(CodePortal, "network", LevelFail, portal, portalNext)
	case s.nobody():
		d.addCode(CodeNetwork, "network", LevelFail, fmt.Sprintf("THIS MACHINE'S NETWORK: nobody answers, of %d machines that were tried", s.asked),
			"look after the network here: cable, Wi-Fi, firewall, VPN")
	}
}

// loneRelay returns the name of the only relay that is known, if that has no address with a name.
func loneRelay(n Node) (name string, alone bool) {
	for _, e := range n.Book().All() {
		if e.Role != string(trust.RoleRelay) || e.Hint || e.Peer == n.ID() {
			continue
		}
		if alone {
			return "", false
		}
		public := false
		for _, a := range n.Book().Addrs(e.Peer) {
			if route.RelayOf(a) != "" {
				continue
			}
			if names.Named(a) {
				return "", false
			}
			public = public || manet.IsPublicAddr(a)
		}
		if !public {
			return "", false
		}
		name, alone = cmp.Or(e.Name, e.Peer.String()), true
	}
	return name, alone
}
