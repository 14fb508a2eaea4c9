package budget

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

func TestBudgetsAreBounded(t *testing.T) {
	b := New(rate.Every(time.Second), 1)
	for i := range maxPeers + 1 {
		if !b.Of(peer.ID(fmt.Sprint(i))).Allow() {
			t.Errorf("peer %d has nothing", i)
		}
	}
	if b.peers.Len() != maxPeers {
		t.Errorf("%d peers are kept", b.peers.Len())
	}
	if b.Of("1").Allow() {
		t.Error("a second line within a second")
	}
}
