package discovery

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/net/ipv4"
)

const beaconPrefix = "/test"

// loopback returns the name of the loopback interface.
func loopback(t testing.TB) string {
	t.Helper()
	nics, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, nic := range nics {
		if nic.Flags&net.FlagLoopback != 0 && nic.Flags&net.FlagUp != 0 {
			return nic.Name
		}
	}
	t.Skip("SKIPPED: no loopback interface is up")
	return ""
}

// freePort returns a UDP port that nobody uses now.
func freePort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func newBeacon(t testing.TB, h host.Host, cfg BeaconConfig) *Beacon {
	t.Helper()
	cfg.Interface = loopback(t)
	if cfg.Prefix == "" {
		cfg.Prefix = beaconPrefix
	}
	b, err := NewBeacon(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type beaconSighting struct {
	by peer.ID
	Found
}

// runBeacons lets all of them look until the test ends.
func runBeacons(t testing.TB, all ...*Beacon) (context.Context, <-chan beaconSighting) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	seen := make(chan beaconSighting)
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	for _, b := range all {
		wg.Go(func() {
			for f := range b.Find(ctx) {
				select {
				case seen <- beaconSighting{b.host.ID(), f}:
				case <-ctx.Done():
				}
			}
		})
	}
	return ctx, seen
}

// TestBeacon: over real sockets, two nodes that announce find each other; one that only asks finds
// both and is found by none; and one of another network finds nobody.
func TestBeacon(t *testing.T) {
	for _, cfg := range []BeaconConfig{
		{Mode: BeaconMulticast},
		{Mode: BeaconBroadcast},
	} {
		t.Run(string(cfg.Mode), func(t *testing.T) {
			const listen = "/ip4/127.0.0.1/tcp/0"
			a, b, asker, other := newLoopback(t, listen), newLoopback(t, listen), newLoopback(t), newLoopback(t, listen)
			cfg.Port, cfg.Announce = freePort(t), true
			asking, elsewhere := cfg, cfg
			asking.Announce = false
			elsewhere.Prefix = "/other"
			ctx, seen := runBeacons(t, newBeacon(t, a, cfg), newBeacon(t, b, cfg), newBeacon(t, asker, asking), newBeacon(t, other, elsewhere))
			missing := map[[2]peer.ID]bool{
				{a.ID(), b.ID()}: true, {b.ID(), a.ID()}: true, {asker.ID(), a.ID()}: true, {asker.ID(), b.ID()}: true,
			}
			start := time.Now()
			for len(missing) > 0 {
				select {
				case s := <-seen:
					if s.ID == asker.ID() || s.ID == other.ID() || s.by == other.ID() || s.ID == s.by || s.Source != "beacon" || len(s.Addrs) != 1 {
						t.Errorf("%s found %v", s.by, s.Found)
					}
					delete(missing, [2]peer.ID{s.by, s.ID})
				case <-ctx.Done():
					t.Fatalf("not found: %v", missing)
				}
			}
			t.Logf("all found after %v", time.Since(start))
		})
	}
}

// TestBeaconSkipsItself: what it sends comes back, and costs nothing.
func TestBeaconSkipsItself(t *testing.T) {
	b := newBeacon(t, newLoopback(t, "/ip4/127.0.0.1/tcp/0"), BeaconConfig{Port: freePort(t), Announce: true})
	_, seen := runBeacons(t, b)
	eventually(t, "it hears itself", func() bool { return b.count.received.Load() > 1 })
	if checked, dropped := b.count.checked.Load(), b.count.dropped.Load(); checked != 0 || dropped != 0 {
		t.Errorf("%d signatures checked and %d datagrams dropped, want none", checked, dropped)
	}
	select {
	case s := <-seen:
		t.Errorf("found %v", s)
	default:
	}
}

// ear is a socket of a stranger beside the nodes.
func ear(t testing.TB, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eventually asks until it is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestBeaconAnswers: a question is answered to its sender with a record, a short one is not, and a
// flood of them only now and then.
func TestBeaconAnswers(t *testing.T) {
	h := newLoopback(t, "/ip4/127.0.0.1/tcp/0")
	b := newBeacon(t, h, BeaconConfig{Mode: BeaconBroadcast, Port: freePort(t), Announce: true})
	runBeacons(t, b)
	c := ear(t, "127.0.0.1")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.cfg.Port))
	ask := func(size int) {
		datagram := encodeBeacon(beaconQuery, b.network, make([]byte, size-beaconHeader))
		if _, err := c.WriteToUDPAddrPort(datagram, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "an answer", func() bool { ask(maxBeacon); return b.count.answered.Load() > 0 })
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	kind, body, ok := decodeBeacon(buf[:n], b.network)
	info, err := openBeacon(body, true)
	if !ok || kind != beaconRecord || err != nil || info.ID != h.ID() || len(info.Addrs) != 1 || info.Addrs[0].String() != h.Addrs()[0].String() {
		t.Errorf("answered %v, %d, %v, %v; want the record of %s", ok, kind, info, err, h.ID())
	}

	// The first short question comes after all long ones, which may not have been answered yet.
	short := func() {
		dropped := b.count.dropped.Load()
		eventually(t, "the short question arrives", func() bool { ask(n - 1); return b.count.dropped.Load() > dropped })
	}
	short()
	answered := b.count.answered.Load()
	short()
	if got := b.count.answered.Load(); got != answered {
		t.Errorf("a question shorter than the answer was answered %d times", got-answered)
	}
	start, received := time.Now(), b.count.received.Load()
	for range 1000 {
		ask(maxBeacon)
	}
	eventually(t, "questions arrive", func() bool { ask(maxBeacon); return b.count.received.Load() > received+500 })
	bound := float64(sourceAsksOnce) + answersToSource*time.Since(start).Seconds() + 1
	if got := b.count.answered.Load(); float64(got) > bound {
		t.Errorf("%d answers, want %.0f at most", got, bound)
	}
}

// A question to all is answered to all, once in a while: the sender, who may be somebody else in
// truth, gets nothing.
func TestBeaconAnswersAll(t *testing.T) {
	for _, mode := range []BeaconMode{BeaconMulticast, BeaconBroadcast} {
		t.Run(string(mode), func(t *testing.T) {
			port := freePort(t)
			var all []*Beacon
			for range 5 {
				all = append(all, newBeacon(t, newLoopback(t, "/ip4/127.0.0.1/tcp/0"), BeaconConfig{Mode: mode, Port: port, Announce: true}))
			}
			runBeacons(t, all...)
			to, c := netip.MustParseAddr("127.255.255.255"), ear(t, "127.0.0.1")
			if mode == BeaconMulticast {
				to = all[0].cfg.Addr
				nic, err := net.InterfaceByName(loopback(t))
				if err != nil {
					t.Fatal(err)
				}
				if err := ipv4.NewPacketConn(c).SetMulticastInterface(nic); err != nil {
					t.Skip("SKIPPED: no multicast on the loopback: ", err)
				}
			}
			question := encodeBeacon(beaconQuery, all[0].network, make([]byte, maxBeacon-beaconHeader))
			start := time.Now()
			eventually(t, "all to answer", func() bool {
				if _, err := c.WriteToUDPAddrPort(question, netip.AddrPortFrom(to, uint16(port))); err != nil {
					t.Skip("SKIPPED: this system does not send it: ", err)
				}
				return !slices.ContainsFunc(all, func(b *Beacon) bool { return b.count.answered.Load() == 0 })
			})
			most := 1 + int64(time.Since(start)/answerAllEvery)
			for i, b := range all {
				if n := b.count.answered.Load(); n > most {
					t.Errorf("node %d has answered %d times, want %d at most", i, n, most)
				}
			}
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, from, err := c.ReadFrom(make([]byte, maxBeacon)); err == nil {
				t.Errorf("%d bytes from %s went to the one who was named as the sender", n, from)
			}
		})
	}
}

// stranger signs records as anybody could.
func stranger(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

// signed is a record of id at addrs by key, which need not be that of id.
func signed(t testing.TB, key crypto.PrivKey, id peer.ID, addrs ...string) []byte {
	t.Helper()
	info := peer.AddrInfo{ID: id}
	for _, a := range addrs {
		info.Addrs = append(info.Addrs, multiaddr.StringCast(a))
	}
	env, err := record.Seal(peer.PeerRecordFromAddrInfo(info), key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

const goodAddr = "/ip4/192.0.2.1/tcp/1"

// TestBeaconDrops sends what should not be sent, and after it a good record, which alone is found.
func TestBeaconDrops(t *testing.T) {
	h := newLoopback(t, "/ip4/127.0.0.1/tcp/0")
	b := newBeacon(t, h, BeaconConfig{Mode: BeaconBroadcast, Port: freePort(t), Announce: true})
	key, id := stranger(t)
	_, otherID := stranger(t)
	good := signed(t, key, id, goodAddr)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1 // the signature is at the end
	datagram := func(body []byte) []byte { return encodeBeacon(beaconRecord, b.network, body) }
	changed := func(i int) []byte {
		d := datagram(good)
		d[i] ^= 1
		return d
	}
	bad := []struct {
		name     string
		datagram []byte
		checked  int64
	}{
		{"empty", nil, 0},
		{"one byte", []byte{beaconMagic[0]}, 0},
		{"less than a header", datagram(nil)[:beaconHeader-1], 0},
		{"another magic", changed(0), 0},
		{"another version", changed(len(beaconMagic)), 0},
		{"an unknown kind", encodeBeacon(3, b.network, good), 0},
		{"another network", encodeBeacon(beaconRecord, sumOf("/other"), good), 0},
		{"too long", encodeBeacon(beaconRecord, b.network, make([]byte, maxBeacon+1-beaconHeader)), 0},
		{"much too long", encodeBeacon(beaconRecord, b.network, make([]byte, 60_000)), 0},
		{"a header only", datagram(nil), 1},
		{"noise of full length", datagram(bytes.Repeat([]byte{0xff}, maxBeacon-beaconHeader)), 1},
		{"a wrong signature", datagram(flipped), 1},
		{"half a record", datagram(good[:len(good)/2]), 1},
		{"a record of somebody else", datagram(signed(t, key, otherID, goodAddr)), 1},
		{"no address that can be right", datagram(signed(t, key, id, "/dns4/example.com/tcp/1")), 1},
	}
	ctx, seen := runBeacons(t, b)
	c := ear(t, "127.0.0.1")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.cfg.Port))
	send := func(p []byte) bool {
		_, err := c.WriteToUDPAddrPort(p, to)
		return err == nil
	}
	eventually(t, "it listens", func() bool { return send(nil) && b.count.dropped.Load() > 0 })
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			// The waiting datagrams of the one before have been looked at when the numbers stand
			// where they should.
			before := b.count.received.Load()
			checked := b.count.checked.Load()
			if !send(tt.datagram) {
				t.Skip("SKIPPED: this system does not send it")
			}
			eventually(t, "it arrives", func() bool { return b.count.received.Load() > before })
			eventually(t, "its signature is checked if it is worth it", func() bool { return b.count.checked.Load() == checked+tt.checked })
		})
	}
	want := int64(1)
	for _, tt := range bad {
		want += tt.checked
	}
	send(datagram(good))
	select {
	case s := <-seen:
		if got := b.count.checked.Load(); got != want {
			t.Errorf("%d signatures checked, want %d", got, want)
		}
		if s.ID != id || len(s.Addrs) != 1 || s.Addrs[0].String() != goodAddr {
			t.Errorf("found %v, want %s at %s alone", s, id, goodAddr)
		}
	case <-ctx.Done():
		t.Error("the good record was not found")
	}
}

// TestBeaconFlood: of 10,000 forged records few are looked at, and another sender is heard all the
// same.
func TestBeaconFlood(t *testing.T) {
	const flood = 10_000
	h := newLoopback(t, "/ip4/127.0.0.1/tcp/0")
	b := newBeacon(t, h, BeaconConfig{Mode: BeaconBroadcast, Port: freePort(t), Announce: true})
	ctx, seen := runBeacons(t, b)
	honest := ear(t, "127.0.0.1")
	flooder := ear(t, "127.0.0.2")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.cfg.Port))
	key, id := stranger(t)
	forged := signed(t, key, h.ID(), goodAddr)
	datagram := encodeBeacon(beaconRecord, b.network, forged)
	eventually(t, "it listens", func() bool {
		_, err := flooder.WriteToUDPAddrPort(nil, to)
		return err == nil && b.count.received.Load() > 0
	})
	start := time.Now()
	arrived := b.count.received.Load() + flood
	for b.count.received.Load() < arrived { // the kernel drops some, so more are sent
		if _, err := flooder.WriteToUDPAddrPort(datagram, to); ctx.Err() != nil {
			t.Fatal("the flood did not arrive: ", err)
		}
	}
	took := time.Since(start)
	checked, bound := b.count.checked.Load(), sourceAtOnce+checksOfSource*took.Seconds()+1
	t.Logf("%d datagrams in %v: %d signatures checked", flood, took, checked)
	if float64(checked) > bound {
		t.Errorf("%d signatures checked, want %.0f at most", checked, bound)
	}
	if _, err := honest.WriteToUDPAddrPort(encodeBeacon(beaconRecord, b.network, signed(t, key, id, goodAddr)), to); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-seen:
		if s.ID != id {
			t.Errorf("found %v, want %s", s, id)
		}
	case <-ctx.Done():
		t.Error("the honest sender was not heard")
	}
}

// TestBeaconQuota: neither one sender nor ten thousand made-up ones get more than their share, and
// nobody is remembered for ever.
func TestBeaconQuota(t *testing.T) {
	h := newLoopback(t, "/ip4/127.0.0.1/tcp/0")
	synctest.Test(t, func(t *testing.T) {
		b := newBeacon(t, h, BeaconConfig{})
		s := &beaconSession{Beacon: b, links: []*link{{prefix: netip.MustParsePrefix("10.0.0.1/8")}}, out: make(chan peer.AddrInfo)}
		datagram := encodeBeacon(beaconRecord, b.network, []byte("x"))
		from := func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
		}
		for range 10_000 {
			s.receive(datagram, from(0), nil)
		}
		if got := b.count.checked.Load(); got != sourceAtOnce {
			t.Errorf("%d signatures checked of one sender, want %d", got, sourceAtOnce)
		}
		for i := range 10_000 {
			s.receive(datagram, from(i), nil)
		}
		if got := b.count.checked.Load(); got != checksAtOnce {
			t.Errorf("%d signatures checked in all, want %d", got, checksAtOnce)
		}
		if got := b.checks.sources.Len(); got != maxSources {
			t.Errorf("%d senders are remembered, want %d", got, maxSources)
		}
		time.Sleep(time.Second)
		for i := range 10_000 {
			s.receive(datagram, from(i), nil)
		}
		if got := b.count.checked.Load(); got != checksAtOnce+checksInAll {
			t.Errorf("%d signatures checked a second later, want %d", got, checksAtOnce+checksInAll)
		}
		if b.count.received.Load() != 30_000 || b.count.dropped.Load() != 30_000 {
			t.Errorf("received %d and dropped %d, want 30000", b.count.received.Load(), b.count.dropped.Load())
		}
		checked := b.count.checked.Load()
		s.receive(datagram, netip.MustParseAddrPort("192.0.2.9:1"), nil)
		if got := b.count.checked.Load(); got != checked {
			t.Error("a datagram from outside of our networks was looked at")
		}
	})
}

// TestBeaconGoesOn: where there is no such interface it says so once, and tries again.
func TestBeaconGoesOn(t *testing.T) {
	h := newLoopback(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b, err := NewBeacon(h, BeaconConfig{Interface: "none0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for f := range b.Find(ctx) {
			t.Errorf("found %v", f)
		}
		if n := strings.Count(log.String(), "none0 is missing"); n != 1 {
			t.Errorf("told %d times that it does not work, want once:\n%s", n, &log)
		}
	})
}

// TestBeaconPortTaken: by a program that does not share, that is.
func TestBeaconPortTaken(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows lets a later program share a port against the will of the first")
	}
	taken := ear(t, "0.0.0.0")
	b := newBeacon(t, newLoopback(t), BeaconConfig{Port: taken.LocalAddr().(*net.UDPAddr).Port})
	if err := b.run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want that the port is in use", err)
	}
}

func TestBeaconConfig(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		name string
		cfg  BeaconConfig
		want string // in the error; empty for none
	}{
		{"zero", BeaconConfig{}, ""},
		{"a group", BeaconConfig{Addr: addr("239.1.2.3")}, ""},
		{"all", BeaconConfig{Mode: BeaconBroadcast, Addr: addr("255.255.255.255")}, ""},
		{"no group", BeaconConfig{Addr: addr("192.168.1.255")}, "not an IPv4 multicast group"},
		{"a group of IPv6", BeaconConfig{Addr: addr("ff02::1")}, "not an IPv4 multicast group"},
		{"a group to broadcast to", BeaconConfig{Mode: BeaconBroadcast, Addr: addr("239.1.2.3")}, "not an IPv4 broadcast"},
		{"a mode", BeaconConfig{Mode: "loud"}, `"loud"`},
		{"highest port", BeaconConfig{Port: 65535}, ""},
		{"a port", BeaconConfig{Port: 65536}, "65536"},
		{"shortest period", BeaconConfig{Period: minBeaconPeriod}, ""},
		{"a period", BeaconConfig{Period: minBeaconPeriod - 1}, "1s at least"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewBeacon(nil, tt.cfg)
			if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || !strings.Contains(got, tt.want) && tt.want != "" {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	relay := randomPeer(t).String()
	for _, tt := range []struct {
		addr              string
		near, sameMachine bool
	}{
		{"/ip4/192.0.2.1/tcp/1", true, true},
		{"/ip6/2001:db8::1/udp/1/quic-v1", true, true},
		{"/ip4/169.254.1.1/tcp/1", true, true},
		{"/ip4/127.0.0.1/tcp/1", false, true},
		{"/ip6/::1/tcp/1", false, true},
		{"/ip6/fe80::1/tcp/1", false, false},
		{"/ip4/0.0.0.0/tcp/1", false, false},
		{"/ip4/239.1.1.1/udp/1/quic-v1", false, false},
		{"/ip4/192.0.2.1", false, false},
		{"/dns4/example.com/tcp/1", false, false},
		{"/ip4/192.0.2.1/tcp/1/p2p/" + relay + "/p2p-circuit", false, false},
		{"/ip4/192.0.2.1/tcp/1/p2p/" + relay, false, false},
	} {
		a := multiaddr.StringCast(tt.addr)
		if near, same := Usable(a, false), Usable(a, true); near != tt.near || same != tt.sameMachine {
			t.Errorf("%s: usable %v, from this machine %v; want %v, %v", tt.addr, near, same, tt.near, tt.sameMachine)
		}
	}
}

// TestSeal: the addresses in the network that is spoken to come first, and what does not fit is
// left out.
func TestSeal(t *testing.T) {
	h := newLoopback(t)
	l := &link{prefix: netip.MustParsePrefix("192.0.2.9/24")}
	listen := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"), multiaddr.StringCast("/ip4/198.51.100.1/tcp/1")}
	listen = append(listen, addrs(20)...)
	sealed, err := seal(h, sumOf(beaconPrefix), l.order(listen))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := decodeBeacon(sealed, sumOf(beaconPrefix))
	info, err := openBeacon(body, false)
	t.Logf("%d bytes for %d addresses", len(sealed), len(info.Addrs))
	if !ok || err != nil || len(info.Addrs) != maxAnnounced || info.Addrs[0].String() != "/ip4/192.0.2.1/tcp/1" {
		t.Errorf("%v, %v, %v; want %d addresses, the nearest first", ok, info, err, maxAnnounced)
	}
	long := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1/http-path/" + strings.Repeat("a", 400))
	sealed, err = seal(h, sumOf(beaconPrefix), []multiaddr.Multiaddr{long, long, long})
	if err != nil || len(sealed) == 0 || len(sealed) > maxBeacon {
		t.Errorf("%d bytes, %v; want up to %d", len(sealed), err, maxBeacon)
	}
	if sealed, err := seal(h, sumOf(beaconPrefix), nil); sealed != nil || err != nil {
		t.Errorf("nothing to announce: %d bytes, %v", len(sealed), err)
	}
}

func TestBroadcastOf(t *testing.T) {
	for prefix, want := range map[string]string{
		"192.168.7.9/24": "192.168.7.255", "10.1.2.3/8": "10.255.255.255", "192.0.2.5/30": "192.0.2.7", "127.0.0.1/8": "127.255.255.255",
	} {
		if got := broadcastOf(netip.MustParsePrefix(prefix)).String(); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

// TestBeaconWire: the bytes that docs/protocol.md promises.
func TestBeaconWire(t *testing.T) {
	query := encodeBeacon(beaconQuery, sumOf("/swarm"), []byte{0})
	if got, want := fmt.Sprintf("%x", query), "7377626e"+"01"+"02"+"092b4d55dafc835c"+"00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, size := range []int{beaconHeader, maxBeacon, maxBeacon + 1} {
		d := encodeBeacon(beaconRecord, sumOf("/swarm"), make([]byte, size-beaconHeader))
		kind, body, ok := decodeBeacon(d, sumOf("/swarm"))
		if want := size <= maxBeacon; ok != want || ok && (kind != beaconRecord || len(body) != size-beaconHeader) {
			t.Errorf("%d bytes: %v, kind %d and %d bytes; want %v", size, ok, kind, len(body), want)
		}
	}
}

func FuzzBeacon(f *testing.F) {
	network := sumOf(beaconPrefix)
	key, id := stranger(f)
	f.Add(encodeBeacon(beaconRecord, network, signed(f, key, id, goodAddr, "/dns4/x/tcp/1")))
	f.Add(encodeBeacon(beaconRecord, network, signed(f, key, "other", goodAddr)))
	f.Add(encodeBeacon(beaconQuery, network, make([]byte, 8)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		kind, body, ok := decodeBeacon(datagram, network)
		if ok && (len(datagram) > maxBeacon || kind != beaconRecord && kind != beaconQuery) {
			t.Fatalf("accepted %d bytes of kind %d", len(datagram), kind)
		}
		if !ok {
			body = datagram // the record alone
		}
		info, err := openBeacon(body, false)
		if err == nil && (info.ID.Validate() != nil || len(info.Addrs) > MaxAddrs) {
			t.Fatalf("accepted %v", info)
		}
		for _, a := range info.Addrs {
			if !Usable(a, false) {
				t.Fatalf("accepted %v", a)
			}
		}
	})
}

func BenchmarkOpenRecord(b *testing.B) {
	key, id := stranger(b)
	body := signed(b, key, id, goodAddr, goodAddr, goodAddr, goodAddr)
	for b.Loop() {
		if _, err := openBeacon(body, false); err != nil {
			b.Fatal(err)
		}
	}
}
