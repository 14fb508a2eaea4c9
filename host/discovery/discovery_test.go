package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"
)

func newLoopback(t testing.TB, addrs ...string) host.Host {
	t.Helper()
	options := []libp2p.Option{libp2p.DisableMetrics(), libp2p.ListenAddrStrings(addrs...)}
	if len(addrs) == 0 {
		options[1] = libp2p.NoListenAddrs
	}
	h, err := libp2p.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func randomPeer(t testing.TB) peer.ID {
	t.Helper()
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func addrs(n int) []multiaddr.Multiaddr {
	out := make([]multiaddr.Multiaddr, n)
	for i := range out {
		out[i] = multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+1))
	}
	return out
}

func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few, many := randomPeer(t), randomPeer(t)
		var changes Changes
		finder := Known("saved", &changes, func() []peer.AddrInfo {
			return []peer.AddrInfo{{ID: few, Addrs: addrs(MaxAddrs)}, {ID: many, Addrs: addrs(MaxAddrs + 1)}}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		time.AfterFunc(time.Second, changes.Happened)
		var got []Found
		for f := range finder.Find(ctx) {
			if len(f.Addrs) != MaxAddrs || f.Source != "saved" {
				t.Errorf("got %d addresses by %s, want %d by saved", len(f.Addrs), f.Source, MaxAddrs)
			}
			got = append(got, f)
		}
		if len(got) != 4 || time.Since(start) != time.Minute {
			t.Errorf("%d peers in %v, want 2, again when the network has changed, and to wait until the end",
				len(got), time.Since(start))
		}
		for range finder.Find(t.Context()) {
			break // must end at once
		}
	})
}

// TestDHT: B and C announce themselves through A; a node that only asks is told about all, and
// nobody about it.
func TestDHT(t *testing.T) {
	const loopback = "/ip4/127.0.0.1/tcp/0"
	hosts := []host.Host{newLoopback(t, loopback), newLoopback(t, loopback), newLoopback(t, loopback), newLoopback(t)}
	asker := hosts[3]
	finders := make([]*DHT, len(hosts))
	for i, h := range hosts {
		d, err := NewDHT(h, DHTConfig{Prefix: "/test", Server: h != asker})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(d.Close(), d.Close()); err != nil {
				t.Error(err)
			}
		}()
		finders[i] = d
	}
	for _, h := range hosts[1:] {
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: hosts[0].ID(), Addrs: hosts[0].Addrs()}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, d := range finders[:3] {
		wg.Go(func() {
			for f := range d.Find(ctx) {
				if f.ID == asker.ID() {
					t.Error("the node that only asks was found")
				}
			}
		})
	}
	seen := map[peer.ID]bool{}
	for f := range finders[3].Find(ctx) {
		if f.Source != "dht" || len(f.Addrs) == 0 || f.ID == asker.ID() {
			t.Errorf("found %v", f)
		}
		if seen[f.ID] = true; len(seen) == 3 {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("found %d peers, want 3", len(seen))
	}
	info, err := finders[3].FindPeer(ctx, hosts[2].ID())
	if err != nil || len(info.Addrs) == 0 {
		t.Errorf("FindPeer: %v, %v", info, err)
	}
}

// TestRecordsAreBounded: strangers cannot fill the memory of a DHT server.
func TestRecordsAreBounded(t *testing.T) {
	const limit = 3
	store := newRecords(limit)
	key := func(i int) datastore.Key { return datastore.NewKey(fmt.Sprint(i)) }
	for i := range limit {
		if err := store.Put(t.Context(), key(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Put(t.Context(), key(limit), nil); !errors.Is(err, errTooManyRecords) {
		t.Errorf("one too many: %v", err)
	}
	if err := store.Put(t.Context(), key(0), []byte("y")); err != nil {
		t.Errorf("replace: %v", err)
	}
	if err := store.Delete(t.Context(), key(0)); err != nil {
		t.Fatal(err)
	}
	batch, err := store.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(batch.Put(t.Context(), key(7), nil), batch.Commit(t.Context())); err != nil {
		t.Errorf("after a removal: %v", err)
	}
	batch, _ = store.Batch(t.Context())
	if err := errors.Join(batch.Put(t.Context(), key(8), nil), batch.Commit(t.Context())); !errors.Is(err, errTooManyRecords) {
		t.Errorf("one too many in a batch: %v", err)
	}
}

func TestParseRecords(t *testing.T) {
	a, b := randomPeer(t), randomPeer(t)
	record := func(addr string, p peer.ID) string { return dnsaddr + addr + "/p2p/" + p.String() }
	tests := []struct {
		name string
		text []string
		want map[peer.ID]int // addresses
	}{
		{"none", nil, nil},
		{"one", []string{record("/ip4/192.0.2.1/tcp/1", a)}, map[peer.ID]int{a: 1}},
		{"two of one", []string{record("/ip4/192.0.2.1/tcp/1", a), record("/ip4/192.0.2.1/udp/1/quic-v1", a)}, map[peer.ID]int{a: 2}},
		{"two peers", []string{record("/ip4/192.0.2.1/tcp/1", a), record("/ip4/192.0.2.2/tcp/1", b)}, map[peer.ID]int{a: 1, b: 1}},
		{"without a peer", []string{dnsaddr + "/ip4/192.0.2.1/tcp/1"}, nil},
		{"something else", []string{"txtvers=1", dnsaddr, dnsaddr + "x"}, nil},
		{"good beside bad", []string{"x", record("/ip4/192.0.2.1/tcp/1", a)}, map[peer.ID]int{a: 1}},
		{"no loopback, name or circuit of a stranger's choice", []string{
			record("/ip4/127.0.0.1/tcp/6379", a), record("/dns4/example.com/tcp/80", a), record("/ip4/192.0.2.1/tcp/1/p2p/"+b.String()+"/p2p-circuit", a),
			record("/ip4/10.0.0.7/tcp/1", b),
		}, map[peer.ID]int{b: 1}},
		{"most", slices.Repeat([]string{record("/ip4/192.0.2.1/tcp/1", a)}, MaxAddrs), map[peer.ID]int{a: MaxAddrs}},
		{"too many", slices.Repeat([]string{record("/ip4/192.0.2.1/tcp/1", a)}, MaxAddrs+1), map[peer.ID]int{a: MaxAddrs}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[peer.ID]int{}
			for _, info := range parseRecords(tt.text) {
				got[info.ID] = len(info.Addrs)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) && len(got)+len(tt.want) > 0 {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add("dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd\nx")
	f.Add("dnsaddr=/p2p-circuit\ndnsaddr=/dns/x/tcp/1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, info := range parseRecords(strings.Split(text, "\n")) {
			if info.ID.Validate() != nil || len(info.Addrs) > MaxAddrs {
				t.Fatalf("accepted %v", info)
			}
		}
	})
}

func TestAnnouncement(t *testing.T) {
	id := randomPeer(t)
	var listen []multiaddr.Multiaddr
	for _, s := range []string{"/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1", "/dns/example.com/tcp/1",
		"/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1", "/ip6/2001:db8::1/tcp/1"} {
		listen = append(listen, multiaddr.StringCast(s))
	}
	text, ips := announcement(id, listen)
	if len(text) != 3 || !slices.Equal(ips, []string{"192.0.2.1", "2001:db8::1"}) {
		t.Errorf("got %v and %v, want the three addresses others can use", text, ips)
	}
	if got := parseRecords(text); len(got) != 1 || got[0].ID != id || len(got[0].Addrs) != 3 {
		t.Errorf("read back: %v", got)
	}
	if text, _ := announcement(id, slices.Repeat(listen[4:5], 20)); len(text) != maxAnnounced {
		t.Errorf("%d records, want %d", len(text), maxAnnounced)
	}
}

// When a node announces itself: at once and with each change of its neighbourhood, if it needs
// others; else in its turn, and then rarely.
func TestAnnouncementIsDue(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		last   announced
		size   int
		enough bool
		want   bool
	}{
		"first":                 {announced{next: now.Add(noHurry)}, 1, false, true},
		"first, in no hurry":    {announced{next: now.Add(noHurry)}, 1, true, false},
		"its turn has come":     {announced{next: now}, 1, true, true},
		"another neighbour":     {announced{1, now.Add(republish)}, 2, false, true},
		"another, in no hurry":  {announced{1, now.Add(republish)}, 2, true, false},
		"nothing new":           {announced{1, now.Add(republish)}, 1, false, false},
		"long ago":              {announced{1, now}, 1, false, true},
		"long ago, in no hurry": {announced{1, now}, 1, true, true},
	} {
		if got := c.last.due(c.size, c.enough); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
