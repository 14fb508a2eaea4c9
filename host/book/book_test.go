package book

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
)

func randomPeer(t testing.TB) peer.ID {
	t.Helper()
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func randomKey(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, p
}

func openBook(t testing.TB, dir string) *Book {
	t.Helper()
	b, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, b *Book, m Entry) Entry {
	t.Helper()
	if m.Peer == "" {
		m.Peer = randomPeer(t)
	}
	if err := b.Put(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBookLasts(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "peers")} {
		t.Run("in "+filepath.Base(dir), func(t *testing.T) {
			b := openBook(t, dir)
			want := put(t, b, Entry{Name: "rig-01", Labels: map[string]string{"gpu": "3080"},
				Addrs: []string{"/ip4/192.0.2.1/tcp/4747"}, LastSeen: 7, Role: "worker", ClaimedName: "Rig"})
			other := put(t, b, Entry{Name: "rig-02"})
			if dir != "" {
				b = openBook(t, dir)
			}
			got, ok := b.Get(want.Peer)
			if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if info := got.AddrInfo(); info.ID != want.Peer || len(info.Addrs) != 1 {
				t.Errorf("AddrInfo: %v", info)
			}
			if all := b.All(); len(all) != 2 || all[0].Name != "rig-01" || all[1].Name != "rig-02" {
				t.Errorf("All: %v", all)
			}
			for range 2 { // the second time there is nothing to remove
				if err := b.Remove(other.Peer); err != nil {
					t.Error(err)
				}
			}
			if err := b.Reload(); err != nil || len(b.All()) != 1 {
				t.Errorf("after Remove: %v, %v", b.All(), err)
			}
		})
	}
}

func TestBookFind(t *testing.T) {
	b := openBook(t, "")
	one := put(t, b, Entry{Name: "one"})
	put(t, b, Entry{Name: "twice"})
	put(t, b, Entry{Name: "twice"})
	// A name that looks like a peer ID goes first.
	named := put(t, b, Entry{Name: one.Peer.String()[:20]})
	// Two Ed25519 peers whose IDs begin alike.
	var twins []peer.ID
	for _, end := range []string{"a", "b"} {
		id := peer.ID("\x00\x24\x08\x01\x12\x20" + strings.Repeat("x", 31) + end)
		put(t, b, Entry{Peer: id})
		twins = append(twins, id)
	}
	tests := []struct {
		query string
		want  peer.ID
		is    error
	}{
		{"one", one.Peer, nil},
		{one.Peer.String(), one.Peer, nil},
		{one.Peer.String()[:21], one.Peer, nil},
		{one.Peer.String()[:20], named.Peer, nil},
		{"twice", "", ErrAmbiguous},
		{twins[0].String()[:20], "", ErrAmbiguous},
		{one.Peer.String()[:9], one.Peer, nil},
		{one.Peer.String()[:8], "", ErrUnknown}, // too short to mean one
		{"no", "", ErrUnknown},
		{"", "", ErrUnknown},
		{"ONE", "", ErrUnknown},
	}
	for _, tt := range tests {
		got, err := b.Find(tt.query)
		if got.Peer != tt.want || !errors.Is(err, tt.is) {
			t.Errorf("%q: got %v, %v, want %v, %v", tt.query, got.Peer, err, tt.want, tt.is)
		}
	}
}

// TestBookSkipsDamage: damaged entries are told and left alone, the others are read.
func TestBookSkipsDamage(t *testing.T) {
	dir := t.TempDir()
	b := openBook(t, dir)
	good := put(t, b, Entry{Name: "good"})
	whole, err := os.ReadFile(b.path(good.Peer))
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{
		randomPeer(t).String() + ".json": whole, // about another peer
		randomPeer(t).String() + ".json": whole[:len(whole)/2],
		randomPeer(t).String() + ".json": {},
		"large.json":                     bytes.Repeat([]byte(" "), maxFile+1),
		"x.json":                         []byte(`{"peer":"x"}`),
	}
	for name, text := range damaged {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	b, err = Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || len(b.All()) != 1 {
		t.Errorf("got %v, %v, want the good one", b.All(), err)
	}
	if got := strings.Count(log.String(), "damaged entry"); got != len(damaged) {
		t.Errorf("%d lines in the log, want %d:\n%s", got, len(damaged), &log)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != len(damaged)+1 {
		t.Errorf("%d files left, want all %d", len(entries), len(damaged)+1)
	}
}

func TestBookBounds(t *testing.T) {
	b := openBook(t, "")
	p := randomPeer(t)
	long, addr := strings.Repeat("x", maxNameLength), "/ip4/192.0.2.1/tcp/1"
	labels := func(n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprint(i)] = ""
		}
		return out
	}
	tests := []struct {
		name string
		m    Entry
		ok   bool
	}{
		{"longest name", Entry{Name: long}, true},
		{"name", Entry{Name: long + "x"}, false},
		{"claimed name", Entry{ClaimedName: long + "x"}, false},
		{"label key", Entry{Labels: map[string]string{long + "x": ""}}, false},
		{"label value", Entry{Labels: map[string]string{"": long + "x"}}, false},
		{"most labels", Entry{Labels: labels(maxLabels)}, true},
		{"labels", Entry{Labels: labels(maxLabels + 1)}, false},
		{"most addresses", Entry{Addrs: repeatString(addr, MaxAddrs)}, true},
		{"addresses", Entry{Addrs: repeatString(addr, MaxAddrs+1)}, false},
		{"bad address", Entry{Addrs: []string{"192.0.2.1"}}, false},
		{"longest address", Entry{Addrs: []string{"/dns4/" + strings.Repeat("a", route.MaxText-len("/dns4//tcp/1")) + "/tcp/1"}}, true},
		{"address", Entry{Addrs: []string{"/dns4/" + strings.Repeat("a", route.MaxText+1-len("/dns4//tcp/1")) + "/tcp/1"}}, false},
		{"address that cannot be written", Entry{Addrs: []string{"/dns4/a\n/tcp/1"}}, false},
		{"most that were passed on", Entry{Announced: repeatString(addr, maxAnnounced)}, true},
		{"addresses that were passed on", Entry{Announced: repeatString(addr, maxAnnounced+1)}, false},
		{"bad address that was passed on", Entry{Announced: []string{"192.0.2.1"}}, false},
		{"longest record", Entry{Record: make([]byte, MaxRecord)}, true},
		{"record", Entry{Record: make([]byte, MaxRecord+1)}, false},
	}
	for _, tt := range tests {
		tt.m.Peer = p
		if err := b.Put(tt.m); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := b.Put(Entry{}); err == nil {
		t.Error("a member without a peer ID was saved")
	}
}

// What a member has signed counts by its age, whoever passes it on, and takes the place of nothing
// that is known first-hand.
func TestHear(t *testing.T) {
	key, p := randomKey(t)
	other, _ := randomKey(t)
	at := func(port int) string { return fmt.Sprintf("/ip4/192.168.1.7/tcp/%d", port) }
	many := func(n int) (out []string) {
		for i := range n {
			out = append(out, at(100+i))
		}
		return out
	}
	signed := func(by crypto.PrivKey, seq uint64, addrs ...string) []byte {
		rec := peer.PeerRecord{PeerID: p, Seq: seq}
		for _, a := range addrs {
			rec.Addrs = append(rec.Addrs, multiaddr.StringCast(a))
		}
		env, err := record.Seal(&rec, by)
		if err != nil {
			t.Fatal(err)
		}
		text, err := env.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const (
		lan, public, name = "/ip4/192.168.1.7/tcp/4747", "/ip4/8.8.8.7/tcp/4747", "/dns4/rig.example.com/tcp/4747"
		circuit           = "/p2p/12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd/p2p-circuit"
		loopback          = "/ip4/127.0.0.1/tcp/4747"
	)
	cut := signed(key, 90, at(9))
	tomorrow := uint64(time.Now().Add(25 * time.Hour).UnixNano())
	b := openBook(t, filepath.Join(t.TempDir(), "peers"))
	if err := b.Put(Entry{Peer: p, Addrs: []string{at(1), at(2)}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		record []byte
		ok     bool
		want   []string
	}{
		{"none", nil, true, nil},
		{"its first", signed(key, 5, at(3), at(2)), true, []string{at(3)}},
		{"an older one", signed(key, 4, at(4)), true, []string{at(3)}},
		{"another of the same time", signed(key, 5, at(4)), true, []string{at(3)}},
		{"by another", signed(other, 6, at(4)), false, []string{at(3)}},
		{"cut off", cut[:len(cut)-1], false, []string{at(3)}},
		{"of tomorrow", signed(key, tomorrow, at(4)), false, []string{at(3)}},
		{"a newer one", signed(key, 6, at(5)), true, []string{at(5)}},
		{"too long", signed(key, 7, many(MaxRecord/10)...), false, []string{at(5)}},
		{"of as many as are kept", signed(key, 7, many(maxAnnounced)...), true, many(maxAnnounced)},
		{"of one more", signed(key, 8, many(maxAnnounced+1)...), true, many(maxAnnounced)},
		{"the longest reach first", signed(key, 9, loopback, circuit, lan, name, public), true, []string{name, public, lan, circuit}},
		{"what nobody else can reach", signed(key, 10, loopback, "/ip6/fe80::1/tcp/4747"), true, []string{loopback}},
		{"what cannot be written", signed(key, 11, lan, "/dns4/a\xff\n/tcp/1", "/dns4/"+strings.Repeat("a", route.MaxText)+"/tcp/1"), true, []string{lan}},
	} {
		_, err := b.Update(p, func(m *Entry) {
			if err := m.Hear(tt.record); (err == nil) != tt.ok {
				t.Errorf("%s: %v", tt.name, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Reload(); err != nil { // it lasts
			t.Fatal(err)
		}
		if m, _ := b.Get(p); !slices.Equal(m.Announced, tt.want) || !slices.Equal(m.Addrs, []string{at(1), at(2)}) {
			t.Errorf("%s: kept %v and told %v, want %v", tt.name, m.Addrs, m.Announced, tt.want)
		}
	}
	if m, _ := b.Get(p); len(m.AddrInfo().Addrs) != 3 || m.AddrInfo().Addrs[0].String() != at(1) {
		t.Errorf("to be dialled: %v, want our own first", m.AddrInfo())
	}
	stranger := randomPeer(t)
	if _, err := b.Update(stranger, func(m *Entry) {
		if m.Hear(signed(key, 12, at(9))) == nil || m.HasAddr() {
			t.Errorf("the record of another was taken: %+v", m)
		}
	}); err != nil {
		t.Fatal(err)
	}
	// Its clock was wrong: what it says to ourselves counts in any case.
	own := signed(key, 1, at(7))
	if err := b.seen(p, sighting{addrs: []string{lan}, record: own, at: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if m, _ := b.Get(p); !slices.Equal(m.Addrs, []string{lan}) || !slices.Equal(m.Announced, []string{at(7)}) || !bytes.Equal(m.Record, own) {
		t.Errorf("after it was seen: %+v", m)
	}
	if err := b.seen(p, sighting{record: signed(key, tomorrow, at(8)), at: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if m, _ := b.Get(p); !bytes.Equal(m.Record, own) {
		t.Errorf("a record of tomorrow is kept to be passed on: %+v", m)
	}
}

// The addresses of a ticket are kept as far as they can be, and after what is known.
func TestGive(t *testing.T) {
	const known = "/ip4/192.0.2.1/tcp/1"
	m := Entry{Addrs: []string{known}}
	var given []multiaddr.Multiaddr
	for i := range MaxAddrs + 1 {
		given = append(given, multiaddr.StringCast("/dns4/münchen.example/tcp/4747"), multiaddr.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", 1+i)))
	}
	if m.Give(given); len(m.Addrs) != MaxAddrs || m.Addrs[0] != known || m.Addrs[1] != "/ip4/192.0.2.1/tcp/2" {
		t.Errorf("kept %v", m.Addrs)
	}
	m.Peer = randomPeer(t)
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

// A name stands for other addresses tomorrow, so it stays when the peer was reached at those of
// today.
func TestNamesStay(t *testing.T) {
	b := openBook(t, filepath.Join(t.TempDir(), "peers"))
	p := randomPeer(t)
	const name, ip = "/dns4/rig.example.com/tcp/4747", "/ip4/192.0.2.1/tcp/4747"
	if err := b.Put(Entry{Peer: p, Addrs: []string{name}}); err != nil {
		t.Fatal(err)
	}
	for _, addrs := range [][]string{{ip}, repeatString(ip, MaxAddrs)} {
		if err := b.seen(p, sighting{addrs: addrs, at: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if m, _ := b.Get(p); m.Addrs[0] != ip || !slices.Contains(m.Addrs, name) {
			t.Errorf("seen at %v: kept %v", addrs, m.Addrs)
		}
	}
}

func repeatString(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// Members that others have made up, as many as the book holds, keep out nobody who was met or whom the
// owner saves, and none of those goes for them.
func TestThoseToldOfMakeRoom(t *testing.T) {
	b := openBook(t, "")
	id := func(i int) peer.ID { return peer.ID(fmt.Sprint("made up ", i)) }
	put(t, b, Entry{Peer: "met", Name: "rig", LastSeen: 1})
	for i := range MaxEntries - 1 {
		e := Entry{Peer: id(i), Name: "x", Role: RoleRelay, Announced: []string{"/ip4/192.0.2.1/tcp/1"}}
		b.entries[e.Peer] = e
	}
	if err := b.Put(Entry{Peer: "another made up", Name: "x"}); !errors.Is(err, ErrFull) {
		t.Errorf("another made up: %v", err)
	}
	for _, e := range []Entry{{Peer: "new", Name: "new", LastSeen: 2}, {Peer: "given", Addrs: []string{"/ip4/192.0.2.2/tcp/1"}}} {
		put(t, b, e)
	}
	if _, there := b.Get("met"); !there || len(b.All()) != MaxEntries {
		t.Errorf("%d entries, the one that was met among them: %v", len(b.All()), there)
	}
}

// TestBookFull: hints make room for members, members do not make room for anybody.
func TestBookFull(t *testing.T) {
	b := openBook(t, "")
	for i := range maxHints + 5 {
		put(t, b, Entry{Peer: peer.ID(fmt.Sprintf("hint-%05d", i)), Hint: true, LastSeen: int64(i)})
	}
	if got := len(b.All()); got != maxHints {
		t.Errorf("%d hints, want %d", got, maxHints)
	}
	if _, ok := b.Get("hint-00004"); ok {
		t.Error("the oldest hints are still there")
	}
	for i := range MaxEntries {
		b.entries[peer.ID(fmt.Sprintf("member-%05d", i))] = Entry{Peer: peer.ID(fmt.Sprintf("member-%05d", i))}
		if len(b.entries) == MaxEntries {
			break
		}
	}
	put(t, b, Entry{Peer: "new"})
	if got := len(b.All()); got != MaxEntries {
		t.Errorf("%d members, want %d", got, MaxEntries)
	}
	for p, m := range b.entries {
		if m.Hint {
			b.entries[p] = Entry{Peer: p}
		}
	}
	if err := b.Put(Entry{Peer: "one too many"}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	put(t, b, Entry{Peer: "new", Name: "changed"})
}

// TestBookOfSeveralProcesses: two books on one directory, as of two processes, keep each other's
// changes to different fields.
func TestBookOfSeveralProcesses(t *testing.T) {
	dir := t.TempDir()
	p := randomPeer(t)
	one, two := openBook(t, dir), openBook(t, dir)
	if _, err := one.Update(p, func(m *Entry) { m.Name = "rig" }); err != nil {
		t.Fatal(err)
	}
	got, err := two.Update(p, func(m *Entry) { m.LastSeen = 9 })
	if err != nil || got.Name != "rig" || got.LastSeen != 9 {
		t.Errorf("got %+v, %v", got, err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := openBook(t, dir)
			for range 20 {
				put(t, b, Entry{Peer: p, Name: fmt.Sprint(i)})
				put(t, b, Entry{Name: "other"})
			}
		})
	}
	wg.Wait()
	if err := one.Reload(); err != nil || len(one.All()) != 8*20+1 {
		t.Errorf("%d members, %v, want %d", len(one.All()), err, 8*20+1)
	}
}

func TestSeen(t *testing.T) {
	b := openBook(t, "")
	now := time.UnixMilli(1_000_000_000)
	known := put(t, b, Entry{Name: "known", Addrs: []string{"/ip4/192.0.2.9/tcp/1"}})
	stranger, found := randomPeer(t), randomPeer(t)
	addrs := []string{"/ip4/192.0.2.1/tcp/1"}
	for _, err := range []error{
		b.seen(known.Peer, sighting{addrs: addrs, at: now, how: onlySaved}),
		b.seen(stranger, sighting{addrs: addrs, at: now, how: onlySaved}),
		b.seen(found, sighting{addrs: addrs, at: now, how: asHint}),
		// Too soon to be worth a write.
		b.seen(found, sighting{at: now.Add(time.Second), how: asHint}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if m, _ := b.Get(known.Peer); m.LastSeen != now.UnixMilli() || m.Addrs[0] != addrs[0] || m.Name != "known" || m.Hint {
		t.Errorf("known: %+v", m)
	}
	if _, ok := b.Get(stranger); ok {
		t.Error("a stranger was saved")
	}
	if m, ok := b.Get(found); !ok || !m.Hint || m.LastSeen != now.UnixMilli() {
		t.Errorf("found: %+v", m)
	}
	if err := b.seen(found, sighting{addrs: addrs, at: now, how: asSaved}); err != nil {
		t.Error(err)
	}
	if m, _ := b.Get(found); m.Hint {
		t.Error("a kept peer is still a hint")
	}
}

func FuzzMember(f *testing.F) {
	f.Add([]byte(`{"peer":"12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd","name":"a","addrs":["/ip4/1.2.3.4/tcp/1"],"lastSeen":1}`))
	f.Add([]byte(`{"peer":"","addrs":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decode(text)
		if err != nil {
			return
		}
		if m.Validate() != nil || len(m.AddrInfo().Addrs) != len(m.Addrs) {
			t.Fatalf("accepted %+v", m)
		}
	})
}

// What is put back because it could not be saved yet takes no place of what has been seen since.
func TestNewestSightingCounts(t *testing.T) {
	var s Sightings
	p, now := randomPeer(t), time.Now()
	s.add(p, sighting{addrs: []string{"new"}, at: now})
	s.add(p, sighting{addrs: []string{"old"}, record: []byte("old"), at: now.Add(-time.Second), how: asHint})
	if got := s.take()[p]; got.addrs[0] != "new" || string(got.record) != "old" || !got.at.Equal(now) || got.how != asHint {
		t.Errorf("got %+v", got)
	}
}

func TestSightingsAreBounded(t *testing.T) {
	var s Sightings
	for i := range maxSightings + 1 {
		s.add(peer.ID(fmt.Sprint(i)), sighting{})
	}
	s.add("0", sighting{addrs: []string{"/ip4/192.0.2.1/tcp/1"}, how: asSaved})
	s.add("0", sighting{how: onlySaved}) // as when it is gone: the rest stays
	got := s.take()
	if len(got) != maxSightings || got["0"].how != asSaved || len(got["0"].addrs) != 1 {
		t.Errorf("%d sightings, the first is %+v", len(got), got["0"])
	}
	if len(s.take()) != 0 {
		t.Error("taken twice")
	}
}

func TestFitRecord(t *testing.T) {
	key, p := randomKey(t)
	const public = "/ip4/8.8.8.7/udp/4747/quic-v1"
	for _, tt := range []struct {
		n    int
		last string // the address that others can reach comes last
		all  bool
	}{
		{40, public, true},
		{200, public, false},
	} {
		var addrs []multiaddr.Multiaddr
		for i := range tt.n {
			addrs = append(addrs, multiaddr.StringCast(fmt.Sprintf("/ip6/fd00::%x/udp/4747/quic-v1", i)))
		}
		addrs = FitRecord(append(addrs, multiaddr.StringCast(tt.last)))
		rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: p, Addrs: addrs})
		env, err := record.Seal(rec, key)
		if err != nil {
			t.Fatal(err)
		}
		if text := sealed(env); len(text) == 0 || (len(addrs) == tt.n+1) != tt.all || !multiaddr.Contains(addrs, multiaddr.StringCast(public)) {
			t.Errorf("of %d addresses there are %d in a record of %d bytes", tt.n+1, len(addrs), len(text))
		}
	}
}

// BenchmarkFind looks a name up among as many members as the default limits are made for.
func BenchmarkFind(b *testing.B) {
	book, err := Open("", nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		p := peer.ID(fmt.Sprintf("peer-%05d", i))
		if err := book.Put(Entry{Peer: p, Name: fmt.Sprint("rig-", i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Find("rig-500"); err != nil {
			b.Fatal(err)
		}
	}
}
