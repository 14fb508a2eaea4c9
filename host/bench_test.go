package host

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// BenchmarkNew is what a command-line process pays before it can dial.
func BenchmarkNew(b *testing.B) {
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		h, err := New(Config{StateDir: dir, NoListen: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBookFind looks a name up among as many members as the default limits are made for.
func BenchmarkBookFind(b *testing.B) {
	book, err := OpenBook("", nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range DefaultMaxPeers {
		p := peer.ID(fmt.Sprintf("peer-%05d", i))
		if err := book.Put(Member{Peer: p, Name: fmt.Sprint("rig-", i)}); err != nil {
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
