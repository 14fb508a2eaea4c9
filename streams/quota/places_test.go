package quota

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// There are so many places for each peer, and so many for all, and not one more.
func TestPlaces(t *testing.T) {
	s := Places{Most: 3, MostPerPeer: 2}
	a, b := peer.ID("a"), peer.ID("b")
	var gives []func()
	for _, tt := range []struct {
		p           peer.ID
		ok          bool
		ofPeer, all int
	}{{a, true, 0, 0}, {a, true, 1, 1}, {a, false, 2, 2}, {b, true, 0, 2}, {b, false, 1, 3}} {
		give, ofPeer, all := s.Take(tt.p)
		if (give != nil) != tt.ok || ofPeer != tt.ofPeer || all != tt.all {
			t.Errorf("%s: %v, %d, %d; want %+v", tt.p, give != nil, ofPeer, all, tt)
		}
		if give != nil {
			gives = append(gives, give)
		}
	}
	for _, give := range gives {
		give()
	}
	if s.all != 0 || len(s.peers) != 0 {
		t.Errorf("%d are taken by %d peers", s.all, len(s.peers))
	}
}
