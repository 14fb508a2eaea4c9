package limits

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

func TestBudgetsAreBounded(t *testing.T) {
	b := NewRates(rate.Every(time.Minute), 1)
	for i := range ratedPeers + 1 {
		if !b.Of(peer.ID(fmt.Sprint(i))).Allow() {
			t.Errorf("peer %d has nothing", i)
		}
	}
	if b.peers.Len() != ratedPeers {
		t.Errorf("%d peers are kept", b.peers.Len())
	}
	if b.Of("1").Allow() {
		t.Error("a second one at once")
	}
	if !b.Of("0").Allow() {
		t.Error("more peers are kept than there is room for")
	}
}
