package quota

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Each stranger has one large frame under way, and all of them together what the account holds, and
// not one byte more.
func TestMemory(t *testing.T) {
	const frame, peers = 64 << 10, 4
	m := NewMemory(peers * frame)
	name := func(i int) peer.ID { return peer.ID(fmt.Sprint("stranger", i)) }
	if !m.Take(name(0), frame-1) {
		t.Fatal("the first one got nothing")
	}
	if m.Take(name(0), 1) {
		t.Error("a second frame of one stranger was let in")
	}
	for i := 1; i < peers; i++ {
		if !m.Take(name(i), frame) {
			t.Errorf("stranger %d got nothing", i)
		}
	}
	if m.Take(name(peers), 2) {
		t.Error("more was given than there is")
	}
	if !m.Take(name(peers), 1) {
		t.Error("the last byte was not given")
	}
	m.Give(name(0), frame-1)
	if !m.Take(name(0), frame-1) {
		t.Error("what was given back is not there")
	}
	for i := range peers + 1 {
		m.Give(name(i), 0)
	}
	if len(m.peers) != 0 {
		t.Errorf("%d strangers are still known", len(m.peers))
	}
}
